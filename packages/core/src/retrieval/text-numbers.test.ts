import { describe, expect, it } from "vitest";
import { createTextNumbers } from "./text-numbers.ts";

const item = (text: string): { readonly text: string } => ({ text });

describe("text numbers", () => {
  it("gives equal texts one number and each list its own order", () => {
    const texts = createTextNumbers();
    expect([...texts.numbersOf([item("a"), item("b"), item("a")])]).toEqual([0, 1, 0]);
    expect([...texts.numbersOf([item("c"), item("b")])]).toEqual([2, 1]);
    expect(texts.numberOf("b")).toBe(1);
    expect(texts.textOf(2)).toBe("c");
    expect(texts.size()).toBe(3);
    expect(() => texts.textOf(3)).toThrow(RangeError);
  });

  it("gives the same array for the same items, and leaves it alone", () => {
    const texts = createTextNumbers();
    const items = [item("a"), item("b")];
    const numbers = texts.numbersOf(items);
    expect(texts.numbersOf([...items])).toBe(numbers);
    items.push(item("c"));
    expect([...texts.numbersOf(items)]).toEqual([0, 1, 2]);
    expect([...numbers]).toEqual([0, 1]);
  });

  it.each([
    ["a change", [0, 9, 2, 3]],
    ["two changes", [0, 8, 2, 9]],
    ["one less in the middle", [0, 2, 3]],
    ["two less", [0, 3]],
    ["one less at the start", [1, 2, 3]],
    ["one less at the end", [0, 1, 2]],
    ["one more in the middle", [0, 1, 9, 2, 3]],
    ["one more at the start", [9, 0, 1, 2, 3]],
    ["an entry twice", [0, 1, 1, 2, 3]],
    ["an entry thrice", [0, 0, 0, 1, 2, 3]],
    ["nothing", []],
    ["the first alone", [0]],
    ["the last alone", [3]],
    ["another order", [3, 2, 1, 0]],
  ] as const)("numbers a list after %s", (_, order) => {
    const all = Array.from({ length: 10 }, (__, index) => item(String(index)));
    const texts = createTextNumbers();
    texts.numbersOf(all);
    texts.numbersOf(all.slice(0, 4));
    const list = order.map((index) => all[index] ?? item("none"));
    expect([...texts.numbersOf(list)]).toEqual(order);
  });

  it("goes back and forth between more banks than it remembers", () => {
    const texts = createTextNumbers();
    const shared = [item("a"), item("b")];
    const forks = Array.from({ length: 20 }, (_, index) => [...shared, item(String(index))]);
    for (let round = 0; round < 2; round++) {
      forks.forEach((fork, index) => {
        expect([...texts.numbersOf(fork)]).toEqual([0, 1, index + 2]);
      });
    }
  });
});
