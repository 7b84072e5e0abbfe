import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { ConfigError, DataFormatError, DataIntegrityError } from "@memory-r1/spec";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { datasets } from "../registry.ts";
import { loadLocomo, locomoRelease, verifyLocomo } from "./load-locomo.ts";

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
    expect(String(error)).toContain("use yours as the data set locomo-modified");
  });

  it("lists the checksum and every fault of the content when it verifies", async () => {
    const file = join(folder, "locomo10.json");
    await writeFile(
      file,
      '[{"sample_id": 3, "conversation": {"speaker_a": "Ann"}, "observation": {}}]',
    );
    const faults = await verifyLocomo({ file });
    expect(faults.map(({ field, problem }) => `${field}: ${problem.slice(0, 12)}`)).toEqual([
      ": is not the o",
      "0.sample_id: is a number,",
      "0.conversation.speaker_b: is missing",
      "0.qa: is missing",
    ]);
    expect(new Set(faults.map((fault) => fault.file))).toEqual(new Set([file]));
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

describe("locomo-modified", () => {
  const sample = {
    sample_id: "conv-26",
    conversation: {
      speaker_a: "Ann",
      speaker_b: "Bo",
      session_1_date_time: "1:05 pm on 2 May, 2021",
      session_1: [{ speaker: "Ann", dia_id: "D1:1", text: "Hi!" }],
    },
    qa: [{ question: "Who says hi?", answer: "Ann", evidence: ["D1:1"], category: 4 }],
    observation: {},
  };
  const load = (dataDirectory: string) =>
    datasets["locomo-modified"].load({ dataDirectory, cacheDirectory: join(folder, "cache") });

  it("takes what is not the official file, and says so first", async () => {
    await writeFile(join(folder, "locomo10.json"), JSON.stringify([sample]));
    const dataset = await load(folder);
    expect(dataset.name).toBe("locomo-modified");
    expect(dataset.notes[0]).toBe(
      `not the official LoCoMo file (sha256 ${dataset.sha256}): its scores do not compare with published ones`,
    );
    // Question 1 of conv-26 is a known issue of the official file: nothing is known of this one.
    expect(dataset.questions[0]).not.toHaveProperty("knownIssues");
    expect(dataset.splits).toEqual({});
    expect(dataset.notes[1]).toMatch(/^no split memory-r1: the file lacks conv-30, conv-41/);
  });

  it("wants to be given the file", async () => {
    const error = await failure(datasets["locomo-modified"].load({ cacheDirectory: folder }));
    expect(error).toBeInstanceOf(ConfigError);
    expect(String(error)).toContain("--data-dir");
    expect(String(await failure(load(folder)))).toContain(`${folder} holds no locomo10.json`);
  });

  it("lists all faults when it verifies", async () => {
    const file = join(folder, "mine.json");
    await writeFile(file, JSON.stringify([sample, sample]));
    const faults = await datasets["locomo-modified"].verify({
      dataDirectory: file,
      cacheDirectory: folder,
    });
    expect(faults).toMatchObject([{ file, field: "1.sample_id", value: '"conv-26"' }]);
  });
});
