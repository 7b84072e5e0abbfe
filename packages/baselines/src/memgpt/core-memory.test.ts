import { describe, expect, it } from "vitest";
import {
  appendToBlock,
  blockText,
  type CoreBlock,
  countCharacters,
  replaceInBlock,
} from "./core-memory.ts";

const step = (
  turn: string,
): { readonly date: string; readonly sourceTurnIds: readonly string[] } => ({
  date: `day of ${turn}`,
  sourceTurnIds: [turn],
});
const block: CoreBlock = [
  { text: "Mia has a cat.", ...step("1") },
  { text: "Leo has a cat and a dog.", ...step("2") },
  { text: "They live in Oslo.", ...step("3") },
];

describe("core memory", () => {
  it("appends lines that know their turn", () => {
    expect(appendToBlock(block, "a\nb", step("4")).slice(3)).toEqual([
      { text: "a", ...step("4") },
      { text: "b", ...step("4") },
    ]);
  });

  it("replaces every occurrence; lines that it touches stem from both turns, others stay", () => {
    expect(replaceInBlock(block, "a cat", "a $& tiger", step("4"))).toEqual([
      { text: "Mia has a $& tiger.", date: "day of 4", sourceTurnIds: ["1", "4"] },
      { text: "Leo has a $& tiger and a dog.", date: "day of 4", sourceTurnIds: ["2", "4"] },
      block[2],
    ]);
  });

  it("replaces across a line's end", () => {
    const replaced = replaceInBlock(block, "cat.\nLeo has", "lion. Leo owns", step("4"));
    expect(replaced).toEqual([
      {
        text: "Mia has a lion. Leo owns a cat and a dog.",
        date: "day of 4",
        sourceTurnIds: ["1", "2", "4"],
      },
      block[2],
    ]);
  });

  it("splits a line, and deletes", () => {
    expect(replaceInBlock(block, " and a dog", "\nLeo has a dog", step("2"))?.slice(1, 3)).toEqual([
      { text: "Leo has a cat", ...step("2") },
      { text: "Leo has a dog.", ...step("2") },
    ]);
    expect(blockText(replaceInBlock(block, "\nThey live in Oslo.", "", step("4")) ?? [])).toBe(
      "Mia has a cat.\nLeo has a cat and a dog.",
    );
  });

  it("gives the text that replacing in the whole text gives", () => {
    for (const old of ["a", "\n", "has a cat", ".\nLeo has a cat and a dog.\nT", "aa"]) {
      const expected = blockText(block).replaceAll(old, "x");
      const replaced = replaceInBlock(block, old, "x", step("4"));
      expect(replaced === undefined ? blockText(block) : blockText(replaced)).toBe(expected);
    }
  });

  it("finds nothing where nothing is", () => {
    expect(replaceInBlock(block, "a parrot", "x", step("4"))).toBeUndefined();
    expect(replaceInBlock(block, "", "x", step("4"))).toBeUndefined();
    expect(replaceInBlock([], "a", "x", step("4"))).toBeUndefined();
  });

  it("counts characters, not code units", () => {
    expect(countCharacters("a🦜")).toBe(2);
  });
});
