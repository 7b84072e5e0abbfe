import { DataFormatError, type OperationSource } from "@memory-r1/spec";
import { describe, expect, it } from "vitest";
import { parseJournal, replayJournal, serializeJournal } from "./journal.ts";
import { createMemoryBank, type MemoryBank } from "./memory-bank.ts";

const source: OperationSource = {
  actor: "test",
  participant: "Zoë",
  sourceTurnIds: ["D1:1", "D1:2"],
  date: "1 May 2024",
};

function exampleBank(): MemoryBank {
  const bank = createMemoryBank();
  bank.apply({ kind: "ADD", text: 'says "hi"\nand leaves 👋' }, source);
  bank.apply({ kind: "NOOP" }, source);
  bank.apply({ kind: "ADD", text: "tea" }, { ...source, sourceTurnIds: [] });
  bank.apply({ kind: "UPDATE", id: "1", text: "green tea" }, source);
  bank.apply({ kind: "DELETE", id: "0" }, source);
  return bank;
}

describe("journal", () => {
  it("replays to the same bank", () => {
    const bank = exampleBank();
    const replayed = replayJournal(bank.journal());
    expect(replayed.entries()).toEqual(bank.entries());
    expect(replayed.journal()).toEqual(bank.journal());
    expect(replayed.apply({ kind: "ADD", text: "next" }, source).createdId).toBe("2");
  });

  it("replays up to any record", () => {
    const journal = exampleBank().journal();
    const sizes = [0, 1, 2, 3, 4, 5, 99].map((upTo) => replayJournal(journal, upTo).size());
    expect(sizes).toEqual([0, 1, 1, 2, 2, 1, 1]);
    expect(replayJournal(journal, 3).get("1")?.text).toBe("tea");
  });

  it("survives being written and read", () => {
    const journal = exampleBank().journal();
    const text = serializeJournal(journal);
    expect(text.trimEnd().split("\n")).toHaveLength(5);
    expect(parseJournal(text, "journal.jsonl")).toEqual(journal);
    expect(parseJournal(serializeJournal([]), "journal.jsonl")).toEqual([]);
  });

  it.each([
    ['{"index":0}', "line 1"],
    [`${serializeJournal(exampleBank().journal())}{"index":5,`, "line 6"],
    [serializeJournal(exampleBank().journal()).replace('"NOOP"', '"MERGE"'), "line 2"],
  ])("names the line that cannot be read", (text, line) => {
    expect(() => parseJournal(text, "journal.jsonl")).toThrow(DataFormatError);
    expect(() => parseJournal(text, "journal.jsonl")).toThrow(`journal.jsonl, ${line}`);
  });

  it("refuses a journal with records missing or with other ids", () => {
    const journal = exampleBank().journal();
    expect(() => replayJournal(journal.slice(1))).toThrow("record 0: the record's index is 1");
    const renamed = journal.map((record) =>
      record.index === 2 ? { ...record, createdId: "9" } : record,
    );
    expect(() => replayJournal(renamed)).toThrow("the record made memory 9, replaying it made 1");
  });
});
