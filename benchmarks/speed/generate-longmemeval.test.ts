import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readLongMemEval } from "@memory-r1/datasets";
import { afterEach, beforeEach, expect, it } from "vitest";
import { generateLongMemEval } from "./generate-longmemeval.ts";

let folder = "";
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "generate-longmemeval-test-"));
});
afterEach(async () => {
  await rm(folder, { recursive: true, force: true });
});

async function generate(name: string, seed: number): Promise<{ text: string; records: number }> {
  const file = join(folder, name);
  const { bytes, records } = await generateLongMemEval(file, {
    sizeBytes: 300_000,
    seed,
    sessionsPerRecord: 5,
    poolSize: 20,
  });
  const text = await readFile(file, "latin1");
  expect(text).toHaveLength(bytes);
  return { text, records };
}

it("writes a file of about the size asked for that the reader finds sound, the same for the same seed", async () => {
  const { text, records } = await generate("one.json", 7);
  // A record of 5 sessions of 11 kB is as near as the size can be met.
  expect(Math.abs(text.length - 300_000)).toBeLessThan(40_000);
  expect(text).toMatch(/^[\x20-\x7e]*$/);
  for (const odd of ["\\u00e9", "\\n", '\\"', "\\\\o/", "\\ud83c\\udf3f", "{x: [1, 2]}"]) {
    expect(text).toContain(odd);
  }
  expect((await generate("two.json", 7)).text).toBe(text);
  expect((await generate("three.json", 8)).text).not.toBe(text);

  const reading = readLongMemEval({ file: join(folder, "one.json") });
  let next = await reading.next();
  const unanswerable: boolean[] = [];
  while (next.done !== true) {
    const { conversation, questions, notes } = next.value;
    const [question] = questions;
    expect(conversation.sessions).toHaveLength(5);
    expect(question?.evidenceSessionIds).toHaveLength(1);
    expect(question?.evidenceTurnIds).toHaveLength(1);
    expect(notes.filter((note) => !note.endsWith("the answer is a number, read as text"))).toEqual(
      [],
    );
    unanswerable.push(question?.answerable === false);
    next = await reading.next();
  }
  expect(next.value.records).toBe(records);
  expect(unanswerable.indexOf(true)).toBe(0);
});
