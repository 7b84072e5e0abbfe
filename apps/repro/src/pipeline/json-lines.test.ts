import { appendFile, readFile, writeFile } from "node:fs/promises";
import { DataFormatError } from "@memory-r1/spec";
import { describe, expect, it } from "vitest";
import { z } from "zod";
import { useTemporaryFolder } from "./__fixtures__/temporary-folder.ts";
import { jsonLines, readIfThere } from "./json-lines.ts";

const pathOf = useTemporaryFolder();
const open = () =>
  jsonLines(pathOf("deep", "er", "log.jsonl"), z.strictObject({ text: z.string() }));
const text = () => readFile(pathOf("deep", "er", "log.jsonl"), "utf8");

describe("jsonLines", () => {
  it("reads what was appended, in order, line breaks and other scripts included", async () => {
    const log = open();
    expect(await log.read()).toEqual([]);
    const records = [{ text: "a\nb\u2028" }, { text: "😀 ½ ж" }, { text: "" }];
    await log.append(records.slice(0, 1));
    await log.append([]);
    await log.append(records.slice(1));
    expect(await open().read()).toEqual(records);
    expect(await text()).toBe('{"text":"a\\nb\u2028"}\n{"text":"😀 ½ ж"}\n{"text":""}\n');
  });

  it("leaves out a last line that was cut off, wherever it was", async () => {
    const whole = '{"text":"é"}\n';
    const bytes = Buffer.from(whole);
    for (let length = 0; length < bytes.length; length++) {
      await open().keep([{ text: "first" }]);
      await appendFile(pathOf("deep", "er", "log.jsonl"), bytes.subarray(0, length));
      expect(await open().read(), `${length} bytes`).toEqual([{ text: "first" }]);
    }
  });

  it("keeps exactly what it is told to", async () => {
    const log = open();
    await log.append([{ text: "one" }, { text: "two" }]);
    await appendFile(pathOf("deep", "er", "log.jsonl"), '{"te');
    await log.keep([{ text: "one" }]);
    await log.append([{ text: "three" }]);
    expect(await text()).toBe('{"text":"one"}\n{"text":"three"}\n');
  });

  it("names file and line of what is damaged inside", async () => {
    const log = open();
    await log.append([{ text: "one" }]);
    await appendFile(pathOf("deep", "er", "log.jsonl"), '{"text":2}\n{"text":"three"}\n');
    await expect(log.read()).rejects.toThrow(DataFormatError);
    await expect(log.read()).rejects.toThrow("log.jsonl:2, at text");
  });
});

describe("readIfThere", () => {
  it("tells a missing file from one that cannot be read", async () => {
    expect(await readIfThere(pathOf("none"))).toBeUndefined();
    await writeFile(pathOf("empty"), "");
    expect(await readIfThere(pathOf("empty"))).toBe("");
    await expect(readIfThere(pathOf("."))).rejects.toThrow("EISDIR");
  });
});
