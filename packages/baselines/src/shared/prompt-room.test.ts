import { describe, expect, it } from "vitest";
import { cutToTokens, joinSameRole, messageTokens, shortenToRoom } from "./prompt-room.ts";

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
