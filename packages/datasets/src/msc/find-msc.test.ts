import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { ConfigError } from "@memory-r1/spec";
import { afterEach, beforeEach, expect, it } from "vitest";
import { findMsc } from "./find-msc.ts";

let folder = "";
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "find-msc-test-"));
});
afterEach(async () => {
  await rm(folder, { recursive: true, force: true });
});

async function put(...paths: readonly string[]): Promise<void> {
  for (const path of paths) {
    await mkdir(dirname(join(folder, path)), { recursive: true });
    await writeFile(join(folder, path), path);
  }
}

const found = async (dataDirectory = folder): Promise<string[]> =>
  (await findMsc({ dataDirectory })).map(
    ({ path, session, part }) => `${basename(path)} ${session} ${part}`,
  );

it("finds ParlAI's files by name, flat and in folders, and leaves other files and session 1 alone", async () => {
  await put("session_3_test.txt", "session_2_valid.txt", "notes.txt", "session_1_valid.txt");
  expect(await found()).toEqual(["session_2_valid.txt 2 valid", "session_3_test.txt 3 test"]);
  await rm(folder, { recursive: true });
  await put(
    "msc/msc_dialogue/session_4/valid.txt",
    "msc/msc_dialogue/session_2/train.txt",
    "msc/msc_dialogue/session_1/train.txt",
    "msc/msc_personasummary/session_2/train.txt",
  );
  expect(await found()).toEqual(["train.txt 2 train", "valid.txt 4 valid"]);
  const [first] = await findMsc({ dataDirectory: folder });
  expect(new TextDecoder().decode(first?.bytes)).toBe("msc/msc_dialogue/session_2/train.txt");
});

it("does not take the same part twice", async () => {
  await put("session_2_valid.txt", "session_2/valid.txt");
  await expect(found()).rejects.toThrow(/are both session 2, valid: take one of the two away/);
});

it("takes one file", async () => {
  await put("session_3_test.txt", "mine.txt");
  expect(await found(join(folder, "session_3_test.txt"))).toEqual(["session_3_test.txt 3 test"]);
  await expect(found(join(folder, "mine.txt"))).rejects.toThrow(/has no name of MSC. Name it as/);
});

it("says where to get it, that it is not downloaded and why, and what is not there", async () => {
  await put("notes.txt");
  for (const options of [{}, { dataDirectory: folder }, { dataDirectory: join(folder, "gone") }]) {
    const error: unknown = await findMsc(options).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(ConfigError);
    expect(String(error)).toMatch(/not downloaded for you, because its owners state no licence/);
    expect(String(error)).toContain("https://parl.ai/projects/msc");
  }
  await expect(found()).rejects.toThrow(`${folder} holds no file of MSC`);
  await expect(found(join(folder, "gone"))).rejects.toThrow(/gone cannot be looked at: .*ENOENT/);
});
