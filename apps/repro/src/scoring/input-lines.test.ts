import { describe, expect, it } from "vitest";
import { type InputLine, readInputLines } from "./input-lines.ts";

async function* chunksOf(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let start = 0; start < bytes.length; start += size) {
    // The caller's buffer is used again for every chunk, as a file reader may do.
    const buffer = Uint8Array.from(bytes.subarray(start, start + size));
    await Promise.resolve();
    yield buffer;
    buffer.fill(0);
  }
}

async function linesOf(bytes: Uint8Array, size = 1000, limitBytes?: number): Promise<InputLine[]> {
  const lines: InputLine[] = [];
  for await (const batch of readInputLines(chunksOf(bytes, size), limitBytes)) lines.push(...batch);
  return lines;
}

const textLine = (number: number, text: string) => ({ number, content: { kind: "text", text } });
const encode = (text: string) => new TextEncoder().encode(text);

describe("readInputLines", () => {
  it("cuts at line feeds alone, wherever the chunks end", async () => {
    // U+2028 and U+0085 are line ends to others; é, ж and 😀 have 2, 2 and 4 bytes that a chunk can cut.
    const texts = ['{"a":"x\u2028y\u0085z"}', "é ж 😀", "", "last"];
    const bytes = encode(texts.join("\n"));
    const expected = [textLine(1, texts[0] ?? ""), textLine(2, "é ж 😀"), textLine(4, "last")];
    for (let size = 1; size <= bytes.length; size++)
      expect(await linesOf(bytes, size), `chunks of ${size}`).toEqual(expected);
  });

  it("takes Windows line ends and a byte order mark as meant, and a last line with or without its end", async () => {
    const bytes = encode("\uFEFFone\r\n\r\ntwo\r\n");
    expect(await linesOf(bytes)).toEqual([textLine(1, "one"), textLine(3, "two")]);
    expect(await linesOf(encode("a\nb"))).toEqual(await linesOf(encode("a\nb\n")));
  });

  it("has no lines in nothing and in blank lines", async () => {
    expect(await linesOf(encode(""))).toEqual([]);
    expect(await linesOf(encode("\n  \n\t\n"))).toEqual([]);
  });

  it("gives bytes that are no UTF-8 as they are, and goes on", async () => {
    const bytes = Uint8Array.from([0x61, 0xff, 0x0a, 0x62]);
    expect(await linesOf(bytes)).toEqual([
      { number: 1, content: { kind: "no-utf8", bytes: Uint8Array.from([0x61, 0xff]) } },
      textLine(2, "b"),
    ]);
  });

  it("drops a line above the limit and keeps one at it", async () => {
    const bytes = encode("12345678\n123456789\n1234567890123\nx");
    for (const size of [1, 5, 100]) {
      expect(await linesOf(bytes, size, 8), `chunks of ${size}`).toEqual([
        textLine(1, "12345678"),
        { number: 2, content: { kind: "too-long", byteLength: 9 } },
        { number: 3, content: { kind: "too-long", byteLength: 13 } },
        textLine(4, "x"),
      ]);
    }
  });
});
