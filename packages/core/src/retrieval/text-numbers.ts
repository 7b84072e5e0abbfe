import type { Retrievable } from "./retriever.ts";

/** How many lists of items are remembered: the banks, forks and participants that a program switches between. */
const rememberedLists = 8;

/**
 * Gives each distinct text a number, 0, 1, 2, ..., which is its row in an index. Indexes hold texts, not banks: banks that
 * share entries share rows, a fork costs nothing, and an entry that leaves a bank just goes unmentioned.
 */
export interface TextNumbers {
  numberOf(text: string): number;
  /**
   * The number of each item's text, in order. The same array for the same items, never changed afterwards. A list that
   * differs from one seen lately in one place costs a comparison of addresses, and one look-up.
   */
  numbersOf(items: readonly Retrievable[]): Int32Array;
  /** @throws RangeError for a number that was not given out. */
  textOf(number: number): string;
  /** Distinct texts so far. */
  size(): number;
}

interface KnownList {
  readonly items: readonly Retrievable[];
  readonly numbers: Int32Array;
}

export function createTextNumbers(): TextNumbers {
  const known = new Map<string, number>();
  const texts: string[] = [];
  /** Last used first. */
  let lists: readonly KnownList[] = [];

  const numberOf = (text: string): number => {
    const found = known.get(text);
    if (found !== undefined) return found;
    const number = texts.length;
    known.set(text, number);
    texts.push(text);
    return number;
  };

  return {
    numberOf,
    numbersOf: (items) => {
      const similar = lists.find((list) => beginsOrEndsAlike(list.items, items));
      const list = similar === undefined ? undefined : reuse(similar, items, numberOf);
      const current = list ?? {
        // A copy: the caller may go on pushing to its array.
        items: [...items],
        numbers: Int32Array.from(items, ({ text }) => numberOf(text)),
      };
      if (lists[0] !== current) {
        lists = [current, ...lists.filter((other) => other !== similar)].slice(0, rememberedLists);
      }
      return current.numbers;
    },
    textOf: (number) => {
      const text = texts[number];
      if (text === undefined) throw new RangeError(`no text has the number ${number}`);
      return text;
    },
    size: () => texts.length,
  };
}

function beginsOrEndsAlike(left: readonly Retrievable[], right: readonly Retrievable[]): boolean {
  return left.length > 0 && (left[0] === right[0] || left.at(-1) === right.at(-1));
}

/** `items` with the numbers that `list` knows for what the two have in common at start and end. */
function reuse(
  list: KnownList,
  items: readonly Retrievable[],
  numberOf: (text: string) => number,
): KnownList {
  const shorter = Math.min(items.length, list.items.length);
  let start = 0;
  while (start < shorter && items[start] === list.items[start]) start++;
  if (start === items.length && start === list.items.length) return list;
  const shift = list.items.length - items.length;
  let end = items.length;
  while (end > start && end + shift > start && items[end - 1] === list.items[end + shift - 1]) {
    end--;
  }
  const numbers = new Int32Array(items.length);
  numbers.set(list.numbers.subarray(0, start), 0);
  numbers.set(list.numbers.subarray(end + shift), end);
  for (let position = start; position < end; position++) {
    numbers[position] = numberOf(items[position]?.text ?? "");
  }
  return { items: [...items], numbers };
}
