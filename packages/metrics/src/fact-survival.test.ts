import { describe, expect, it } from "vitest";
import { evidenceMissing } from "./evidence.ts";
import { computeHeldTurns, createHeldTurns } from "./fact-survival.ts";

const facts = [
  { text: "Ana adopted a dog called Rex.", sourceTurnIds: ["D1:1"] },
  { text: "Ana moved to Porto.", sourceTurnIds: ["D1:2", "D1:3"] },
];

describe("createHeldTurns", () => {
  it("says the same of any texts, in any order, as often as it is asked", () => {
    const held = createHeldTurns(facts);
    expect([...held(["Ana moved to Porto."])]).toEqual(["D1:2", "D1:3"]);
    expect([...held([])]).toEqual([]);
    expect([...held(["Ana moved to Porto.", "Rex is a dog, Ana adopted it"])]).toEqual([
      "D1:2",
      "D1:3",
      "D1:1",
    ]);
    expect([...held(["Ana moved to Porto."])]).toEqual(["D1:2", "D1:3"]);
  });
});

describe("computeHeldTurns", () => {
  it("holds every turn where the bank keeps the facts as they are", () => {
    expect([
      ...computeHeldTurns(
        facts,
        facts.map((fact) => fact.text),
      ),
    ]).toEqual(["D1:1", "D1:2", "D1:3"]);
  });

  it("holds both facts of a merged memory", () => {
    expect(computeHeldTurns(facts, ["Ana adopted a dog called Rex and moved to Porto"]).size).toBe(
      3,
    );
  });

  it("does not hold a fact that an UPDATE overwrote, whatever turns the memory claims", () => {
    const held = computeHeldTurns(facts, ["Ana moved to Porto."]);
    // "ana adopted dog called rex": 1 of 5 words are left. Of the two cited turns one is missing.
    expect([...held]).toEqual(["D1:2", "D1:3"]);
    expect(evidenceMissing([["D1:1"], ["D1:2"]], held)).toBe(0.5);
  });

  it("counts exactly half of the words as held, less as lost", () => {
    const fact = [{ text: "one two three four", sourceTurnIds: ["t"] }];
    expect(computeHeldTurns(fact, ["one two"]).size).toBe(1);
    expect(computeHeldTurns(fact, ["one"]).size).toBe(0);
  });

  it("does not count one word of a memory twice", () => {
    expect(
      computeHeldTurns([{ text: "very very very old", sourceTurnIds: ["t"] }], ["very"]).size,
    ).toBe(0);
  });

  it("holds nothing of an empty bank, and nothing of a fact without words", () => {
    expect(computeHeldTurns(facts, []).size).toBe(0);
    expect(computeHeldTurns([{ text: "...", sourceTurnIds: ["t"] }], ["..."]).size).toBe(0);
  });

  it("reads words of any script", () => {
    expect(
      computeHeldTurns([{ text: "Анна живёт в Порту", sourceTurnIds: ["t"] }], ["анна живёт"]).size,
    ).toBe(1);
  });
});
