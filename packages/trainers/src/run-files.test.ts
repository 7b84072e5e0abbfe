import { mkdtemp, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ResumeMismatchError } from "@memory-r1/spec";
import { afterEach, beforeEach, expect, it } from "vitest";
import {
  appendJsonLine,
  dropPartialLine,
  logLength,
  readFileIfPresent,
  truncateLog,
  writeFileAtomic,
} from "./run-files.ts";

let directory = "";
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "memory-r1-files-"));
});
afterEach(() => rm(directory, { recursive: true }));

it("writes a file whole, makes its folder, and leaves nothing else behind", async () => {
  const path = join(directory, "new", "a.txt");
  await writeFileAtomic(path, "first");
  await writeFileAtomic(path, "zweite Fassung ü🙂");
  expect(await readFile(path, "utf8")).toBe("zweite Fassung ü🙂");
  expect(await readdir(join(directory, "new"))).toEqual(["a.txt"]);
});

it("replaces what an earlier kill left half written", async () => {
  const path = join(directory, "a.txt");
  await writeFile(`${path}.tmp`, "half of someth");
  await writeFileAtomic(path, "whole");
  expect(await readFile(path, "utf8")).toBe("whole");
});

it("appends lines, and cuts them back by bytes", async () => {
  const path = join(directory, "log.jsonl");
  expect(await logLength(path)).toBe(0);
  await appendJsonLine(path, { text: "ü" });
  const length = await logLength(path);
  // {"text":"ü"} is 13 bytes with its two-byte letter, and a line break.
  expect(length).toBe(14);
  await appendJsonLine(path, { text: "later" });
  await truncateLog(path, length);
  expect(await readFile(path, "utf8")).toBe('{"text":"ü"}\n');
  await truncateLog(path, length);
  await expect(truncateLog(path, length + 1)).rejects.toThrow(ResumeMismatchError);
});

it("drops a partial last line only", async () => {
  const path = join(directory, "log.jsonl");
  await dropPartialLine(path);
  expect(await readFileIfPresent(path)).toBeUndefined();
  await writeFile(path, '{"ü":1}\n{"b":');
  await dropPartialLine(path);
  expect(await readFileIfPresent(path)).toBe('{"ü":1}\n');
  await writeFile(path, "no line at all");
  await dropPartialLine(path);
  expect(await readFileIfPresent(path)).toBe("");
});
