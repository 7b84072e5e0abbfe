import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { ConfigError, DataFormatError, DataIntegrityError } from "@memory-r1/spec";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { findLocomo } from "./find-locomo.ts";
import { loadLocomo, locomoRelease } from "./load-locomo.ts";

const officialFile = fileURLToPath(
  new URL("../../../../../shared/datasets/locomo/locomo10.json", import.meta.url),
);
const isMissing = !existsSync(officialFile);
const note = isMissing ? " (skipped: no ../shared/datasets beside the repository)" : "";

let folder = "";
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "locomo-test-"));
});
afterEach(async () => {
  await rm(folder, { recursive: true, force: true });
});

/** No request leaves a test. */
const noNetwork = (): Promise<Uint8Array> =>
  Promise.reject(new TypeError("fetch failed", { cause: new Error("getaddrinfo ENOTFOUND") }));

async function failure(promise: Promise<unknown>): Promise<unknown> {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  return undefined;
}

describe("loadLocomo", () => {
  async function loadText(text: string): Promise<unknown> {
    const file = join(folder, "locomo10.json");
    await writeFile(file, text);
    return failure(loadLocomo({ file }));
  }

  it("says of text that is no JSON that it is cut off, and that the checksum differs, with the fix", async () => {
    for (const text of ['[{"sample_id": "conv-26", "conversa', "", "<html>404</html>"]) {
      const error = await loadText(text);
      expect(error).toBeInstanceOf(DataFormatError);
      const message = String(error);
      expect(message).toContain("not valid JSON");
      expect(message).toContain(`cut off or another file (${text.length} of 2805274 bytes)`);
      expect(message).toContain(`expected ${locomoRelease.sha256}`);
      expect(message).toContain(locomoRelease.url);
    }
  });

  it("says of JSON with another checksum that it was edited", async () => {
    const error = await loadText("[]");
    expect(error).toBeInstanceOf(DataIntegrityError);
    expect(String(error)).toMatch(/edited or is another release: get the official file/);
  });

  it("names a file that cannot be read", async () => {
    const error = await failure(loadLocomo({ file: join(folder, "nothing.json") }));
    expect(error).toBeInstanceOf(ConfigError);
    expect(String(error)).toContain("nothing.json cannot be read");
  });

  it.skipIf(isMissing)(
    `finds one changed byte and a cut end of the official file${note}`,
    async () => {
      const text = await readFile(officialFile, "utf8");
      expect(await loadText(text.replace("2023", "2024"))).toBeInstanceOf(DataIntegrityError);
      expect(await loadText(text.slice(0, -1000))).toBeInstanceOf(DataFormatError);
    },
  );
});

describe("findLocomo", () => {
  const options = () => ({ cacheDirectory: join(folder, "cache"), fetchBytes: noNetwork });

  it("takes the file itself, or looks into the folder and its locomo/ folder", async () => {
    const nested = join(folder, "data", "locomo");
    await mkdir(nested, { recursive: true });
    const inner = join(nested, "locomo10.json");
    await writeFile(inner, "[]");
    expect(await findLocomo({ ...options(), dataDirectory: inner })).toBe(inner);
    expect(await findLocomo({ ...options(), dataDirectory: nested })).toBe(inner);
    expect(await findLocomo({ ...options(), dataDirectory: join(folder, "data") })).toBe(inner);
  });

  it("without network says how to give the file", async () => {
    const error = await failure(findLocomo(options()));
    expect(error).toBeInstanceOf(ConfigError);
    expect(String(error)).toMatch(/fetch failed: getaddrinfo ENOTFOUND/);
    expect(String(error)).toContain("--data-dir");
    expect(String(error)).toContain("MEMORY_R1_DATA_DIR");
  });

  it("does not download when told not to, nor when the data folder is mistyped", async () => {
    const noDownload = await failure(
      findLocomo({ ...options(), download: false, dataDirectory: folder }),
    );
    expect(String(noDownload)).toContain(`neither in ${folder} nor in`);
    const mistyped = await failure(
      findLocomo({ ...options(), dataDirectory: join(folder, "dta") }),
    );
    expect(mistyped).toBeInstanceOf(ConfigError);
    expect(String(mistyped)).toContain("dta does not exist");
  });

  it("refuses a download that is not the official file, and leaves nothing behind", async () => {
    const fetchBytes = (): Promise<Uint8Array> =>
      Promise.resolve(new TextEncoder().encode("<html>"));
    expect(await failure(findLocomo({ ...options(), fetchBytes }))).toBeInstanceOf(DataFormatError);
    expect(existsSync(join(folder, "cache"))).toBe(false);
  });

  it.skipIf(isMissing)(`keeps a download and does not ask again${note}`, async () => {
    const addresses: string[] = [];
    const fetchBytes = async (url: string): Promise<Uint8Array> => {
      addresses.push(url);
      return readFile(officialFile);
    };
    const file = await findLocomo({ ...options(), fetchBytes });
    expect(await findLocomo(options())).toBe(file);
    expect(addresses).toEqual([locomoRelease.url]);
    expect(await readdir(join(folder, "cache", "datasets"))).toEqual([
      "79fa87e90f04-locomo10.json",
    ]);
    const dataset = await loadLocomo({ file });
    expect(dataset.sha256).toBe(locomoRelease.sha256);
  });

  it.skipIf(isMissing)(`names a cache folder that cannot be written${note}`, async () => {
    await writeFile(join(folder, "cache"), "a file where a folder should be");
    const error = await failure(
      findLocomo({ ...options(), fetchBytes: () => readFile(officialFile) }),
    );
    expect(error).toBeInstanceOf(ConfigError);
    expect(String(error)).toContain("Use a writable cache folder");
  });
});
