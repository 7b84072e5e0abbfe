import { describe, expect, it } from "vitest";
import { systemOptionsFor } from "../testing/system-options.ts";
import {
  countThatFits,
  cutToTokens,
  joinSameRole,
  longestPrefix,
  messageTokens,
  promptTokens,
  shortenToRoom,
} from "./prompt-room.ts";

const countWords = (text: string): number =>
  text.split(/\s+/u).filter((word) => word !== "").length;
const countCodePoints = (text: string): number => Array.from(text).length;
const message = (words: number): { readonly content: string } => ({
  content: Array.from({ length: words }, () => "word").join(" "),
});

describe("room of a prompt", () => {
  it("leaves alone what fits, to the token", () => {
    const messages = [message(2), message(12)];
    // 2 + 8 and 12 + 8 tokens.
    expect(shortenToRoom(messages, 30, countWords)).toEqual({ messages, shortened: 0 });
    expect(shortenToRoom(messages, 29, countWords).shortened).toBe(1);
  });

  it("shortens the longest only, to equal shares of what the others leave", () => {
    const { messages, shortened } = shortenToRoom(
      [message(2), message(50), message(90)],
      60,
      countWords,
    );
    // The first keeps its 10 tokens; (60 - 10) / 2 = 25 for each of the others, 17 of them words.
    expect(shortened).toBe(2);
    expect(messages.map(({ content }) => messageTokens(content, countWords))).toEqual([10, 25, 25]);
  });

  it("cuts between characters, not inside of one, and marks the cut", () => {
    expect(cutToTokens("a🦜b🦜c", 5, countCodePoints)).toBe("a🦜b🦜c");
    expect(cutToTokens("a🦜b🦜c", 3, countCodePoints)).toBe("a🦜…");
    expect(cutToTokens("a🦜b🦜c", 1, countCodePoints)).toBe("");
    expect(cutToTokens("a🦜b🦜c", -4, countCodePoints)).toBe("");
  });

  it("never cuts a character that is made of several, and gives one at least where it must", () => {
    // Five code points, and one character to the eye.
    const family = "👩‍👩‍👧";
    expect(cutToTokens(`${family}ab`, 6, countCodePoints)).toBe(`${family}…`);
    expect(cutToTokens(`${family}ab`, 5, countCodePoints)).toBe("");
    expect(longestPrefix(`${family}ab`, 6, countCodePoints)).toBe(`${family}a`.length);
    expect(longestPrefix(`${family}ab`, 1, countCodePoints)).toBe(family.length);
    expect(longestPrefix("ab", 2, countCodePoints)).toBe(2);
    expect(longestPrefix("", 0, countCodePoints)).toBe(0);
  });

  it.each([
    // Two messages of 8 tokens and their words; 26 tokens less 4 for the reply leave 6 words.
    { count: 9, least: 1, expected: 6 },
    { count: 6, least: 1, expected: 6 },
    { count: 3, least: 0, expected: 3 },
    { count: 1, least: 1, expected: 1 },
    { count: 0, least: 1, expected: 0 },
  ] as const)("has room for $expected of $count items", ({ count, least, expected }) => {
    const options = systemOptionsFor({ contextTokens: 26, replyTokens: 4 });
    const render = (shown: number) => [
      { role: "system" as const, content: "" },
      { role: "user" as const, content: message(shown).content },
    ];
    expect(promptTokens(render(count), countWords)).toBe(16 + count);
    expect(countThatFits(options, count, render, { least })).toBe(expected);
  });

  it.each([0, 1] as const)("shows at least %i where there is no room", (least) => {
    const options = systemOptionsFor({ contextTokens: 4, replyTokens: 4 });
    expect(countThatFits(options, 3, () => [{ role: "user", content: "word" }], { least })).toBe(
      least,
    );
  });

  it("joins messages of one side", () => {
    expect(
      joinSameRole([
        { role: "user", content: "a" },
        { role: "user", content: "b" },
        { role: "assistant", content: "c" },
        { role: "user", content: "d" },
      ]),
    ).toEqual([
      { role: "user", content: "a\nb" },
      { role: "assistant", content: "c" },
      { role: "user", content: "d" },
    ]);
    expect(joinSameRole([])).toEqual([]);
  });
});
