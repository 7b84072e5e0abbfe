import { appendFile, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { missingRepetitions, observationsOf, openJournal } from "./journal.ts";
import type { Observation, Task } from "./measure-pair.ts";

const identity = {
  commit: "a".repeat(40),
  dirty: false,
  seed: 0,
  threads: 2,
  trlPass: "auto",
  modelRevision: "pypi:x",
  cpu: "invented",
  cores: 2,
};
const task = {
  mode: "update",
  shape: { promptTokens: 350, completionTokens: 16, groupSize: 8 },
  dtype: "float32",
} satisfies Task;
const engines = ["one", "other"];

function observe(engine: string, repetition: number): Observation {
  return {
    ...task,
    engine,
    repetition,
    completionsPerPass: 8,
    measurement: {
      updateSeconds: 1,
      stepSeconds: null,
      updateProcessorSeconds: 2,
      stepProcessorSeconds: null,
      tokensComputed: 470,
      promptTokens: 350,
      completionTokens: 128,
      gradientNorm: 1,
      peakMemoryMib: 1000,
    },
  };
}

let path = "";
beforeEach(async () => {
  path = join(await mkdtemp(join(tmpdir(), "memory-r1-journal-")), "runs", "speed.jsonl");
});
afterEach(async () => {
  await rm(join(path, "..", ".."), { recursive: true, force: true });
});

describe("openJournal", () => {
  it("goes on where it was left, and measures again what only one engine has", async () => {
    const journal = await openJournal(path, identity);
    expect(missingRepetitions(journal, task, engines, 3)).toEqual([1, 2, 3]);
    for (const [engine, repetition] of [
      ["one", 1],
      ["other", 1],
      ["one", 2],
    ] as const) {
      await journal.append({ type: "step", observation: observe(engine, repetition) });
    }
    const again = await openJournal(path, identity);
    expect(observationsOf(again)).toEqual([
      observe("one", 1),
      observe("other", 1),
      observe("one", 2),
    ]);
    expect(missingRepetitions(again, task, engines, 3)).toEqual([2, 3]);
    const measuredAgain = { ...observe("one", 2), completionsPerPass: 4 };
    await again.append({ type: "step", observation: measuredAgain });
    expect(observationsOf(again)).toHaveLength(3);
    expect(observationsOf(again)[2]).toEqual(measuredAgain);
    expect(missingRepetitions(again, { ...task, mode: "step" }, engines, 1)).toEqual([1]);
  });

  it("drops a last line that was cut", async () => {
    const journal = await openJournal(path, identity);
    await journal.append({ type: "flops", shape: "350+16", flops: 7 });
    const before = await readFile(path, "utf8");
    await appendFile(path, '{"type":"flops","sha');
    const again = await openJournal(path, identity);
    expect(again.lines).toEqual(journal.lines);
    expect(await readFile(path, "utf8")).toBe(before);
  });

  it("refuses another commit or machine, and says which flag helps", async () => {
    await openJournal(path, identity);
    await expect(openJournal(path, { ...identity, cores: 4, seed: 1 })).rejects.toThrow(
      /another seed, cores: .*--fresh/,
    );
  });

  it("refuses a line that is none, with its place", async () => {
    await openJournal(path, identity);
    await appendFile(path, '{"type":"flops"}\n');
    await expect(openJournal(path, identity)).rejects.toThrow(/speed\.jsonl:2/);
  });
});
