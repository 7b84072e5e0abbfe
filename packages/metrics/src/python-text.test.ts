import { describe, expect, it } from "vitest";
import { normaliseLocomoAnswer } from "./locomo.ts";
import { tokeniseSimply } from "./mem0.ts";
import { tokeniseMemoryosAnswer } from "./memoryos.ts";
import { removeAsciiPunctuation, splitWhitespace, trimWhitespace } from "./python-text.ts";
import { normaliseSquadAnswer } from "./squad.ts";

// Every expected value: CPython 3.11.7 with regex 2026.11.19.

describe("white space", () => {
  it("splits at what str.split() splits at, U+001C to U+001F and U+0085 included", () => {
    const text = "a\u001cb\u001dc\u001ed\u001fe\u0085f\u00a0g\u2003h\u2028i\u3000j\tk\r\nl\u000bm";
    expect(splitWhitespace(text)).toEqual("a b c d e f g h i j k l m".split(" "));
  });

  it("does not split at U+FEFF, U+200B and U+0000", () => {
    expect(splitWhitespace("a\ufeffb\u200bc\u0000d")).toEqual(["a\ufeffb\u200bc\u0000d"]);
  });

  it("gives no words for nothing", () => {
    expect(splitWhitespace("")).toEqual([]);
    expect(splitWhitespace(" \u0085 ")).toEqual([]);
  });

  it("trims as str.strip()", () => {
    expect(trimWhitespace("\u001f tea \u0085")).toBe("tea");
    expect(trimWhitespace("\ufefftea")).toBe("\ufefftea");
  });
});

it("deletes the 32 characters of string.punctuation and no other", () => {
  expect(removeAsciiPunctuation("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")).toBe("");
  expect(removeAsciiPunctuation("’“”–—…¿«»、。")).toBe("’“”–—…¿«»、。");
});

describe("lower case", () => {
  it.each([
    ["İ", "i\u0307"],
    ["STRASSE ẞ ß", "strasse ß ß"],
    ["ΟΔΟΣ", "οδος"],
    ["ΣΑΣ ΣΣ Σ", "σας σς σ"],
    ["Α.Σ. ΑΣ-Α", "α.ς. ας-α"],
    ["\u212aelvin Å ǅ", "kelvin å ǆ"],
  ])("of %s is str.lower()'s", (text, lower) => {
    expect(tokeniseSimply(text).join(" ")).toBe(tokeniseSimply(lower).join(" "));
    expect(text.toLowerCase()).toBe(lower);
  });
});

describe("word boundaries", () => {
  it.each([
    // A letter with a combining accent: the accent is no word character to `re`, but is one to the package `regex`.
    ["a\u0300 la carte", "\u0300 la carte", "a\u0300 la carte"],
    ["\u0301the cat", "\u0301 cat", "\u0301the cat"],
    // A zero-width joiner, likewise.
    ["a\u200d tea", "\u200d tea", "a\u200d tea"],
    // Numbers that are no digits are word characters to `re` only.
    ["a½ the²", "a½ the²", "½ ²"],
    ["aé éa the東", "aé éa the東", "aé éa the東"],
    ["a’s the–end “an”", "’s –end “ ”", "’s –end “ ”"],
    ["the a an and", "and", ""],
  ])("of %j", (text, squad, locomo) => {
    expect(normaliseSquadAnswer(text)).toBe(squad);
    expect(normaliseLocomoAnswer(text)).toBe(locomo);
  });

  it("take letters and numbers of any script and _ for words in MemoryOS", () => {
    expect(tokeniseMemoryosAnswer("It’s_ok 東京, ½ ٣ cafe\u0301 — 😀")).toEqual([
      "it",
      "s_ok",
      "東京",
      "½",
      "٣",
      "cafe",
    ]);
  });
});
