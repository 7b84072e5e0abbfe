import { createRandom, DataFormatError, parseJson } from "@memory-r1/spec";
import { describe, expect, it } from "vitest";
import { z } from "zod";
import { JsonArrayError, splitJsonArray } from "./split-json-array.ts";

const encode = (text: string): Uint8Array => new TextEncoder().encode(text);
const decode = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);

/** The file in pieces of a size, each a view into a larger buffer, as file streams give them. */
async function* inPieces(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let start = 0; start < bytes.length; start += size) {
    await Promise.resolve();
    yield bytes.subarray(start, start + size);
  }
}

interface Found {
  readonly records: unknown[];
  readonly texts: string[];
  readonly offsets: number[];
  readonly error: unknown;
}

async function split(
  file: string | Uint8Array,
  options: { readonly pieceSize?: number; readonly mostRecordBytes?: number } = {},
): Promise<Found> {
  const { pieceSize = 7, ...limits } = options;
  const bytes = typeof file === "string" ? encode(file) : file;
  const found: Omit<Found, "error"> = { records: [], texts: [], offsets: [] };
  try {
    for await (const record of splitJsonArray(inPieces(bytes, pieceSize), {
      source: "file.json",
      ...limits,
    })) {
      expect(record.index).toBe(found.records.length);
      const text = decode(record.bytes);
      found.texts.push(text);
      found.records.push(parseJson(text, z.unknown(), "record"));
      found.offsets.push(record.byteOffset);
    }
  } catch (error) {
    return { ...found, error };
  }
  return { ...found, error: undefined };
}

// Everything that could be taken for a bracket or a quotation mark and is none; characters of one to four bytes.
const awkward = [
  {},
  { a: "}{][" },
  { quote: '"', 'key "}': "\\", two: '\\"', end: "\\\\" },
  { é: "漢字 😀 \u2028", escaped: "\u0000\u001f\t\r\n" },
  { list: [[], [{}, [{ deep: [1.5e-7, true, null, ""] }]]] },
  { text: `${"\\".repeat(9)}"${"x".repeat(40)}` },
];

describe("splitJsonArray", () => {
  it.each([1, 2, 3, 5, 8, 64, 100_000])(
    "finds the records that JSON.parse finds, in pieces of %i bytes",
    async (pieceSize) => {
      for (const file of [
        JSON.stringify(awkward),
        JSON.stringify(awkward, undefined, 4),
        `\ufeff \r\n\t${JSON.stringify(awkward)}\n\n`,
        // As Python writes it: spaces after commas, and no character above 0x7e.
        JSON.stringify(awkward)
          .replaceAll("},{", "}, {")
          .replaceAll(
            /[\u0080-\uffff]/g,
            (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`,
          ),
      ]) {
        const found = await split(file, { pieceSize });
        expect(found.error).toBeUndefined();
        expect(found.records).toEqual(awkward);
        const bytes = encode(file);
        for (const [index, offset] of found.offsets.entries()) {
          const length = encode(found.texts[index] ?? "").length;
          expect(decode(bytes.subarray(offset, offset + length))).toBe(found.texts[index]);
        }
      }
    },
  );

  it("finds them wherever a piece ends: 300 seeded files of quotes, backslashes and brackets", async () => {
    const random = createRandom(11);
    const pick = (count: number): number => Math.floor(random() * count);
    const alphabet = ['"', "\\", "{", "}", "[", "]", ",", "é", "😀", "a"];
    const text = (): string =>
      Array.from({ length: pick(12) }, () => alphabet[pick(alphabet.length)] ?? "").join("");
    for (let run = 0; run < 300; run++) {
      const records = Array.from({ length: pick(4) }, () => ({ [text()]: [text(), text()] }));
      const found = await split(JSON.stringify(records), { pieceSize: 1 + pick(20) });
      expect(found.error).toBeUndefined();
      expect(found.records).toEqual(records);
    }
  });

  it("gives nothing for an empty list", async () => {
    for (const file of ["[]", " [ \n ] "]) {
      expect(await split(file)).toEqual({ records: [], texts: [], offsets: [], error: undefined });
    }
  });

  it.each([
    ["", 0, 0, 0, "the file is empty"],
    ["  \n", 0, 0, 0, "the file is empty"],
    ['{"a": 1}', 0, 0, 0, 'the file is no JSON list: it begins with "{"'],
    ["<html>", 0, 0, 0, 'the file is no JSON list: it begins with "<"'],
    ["[", 0, 0, 1, "the file ends before its list does"],
    ["[{}", 1, 1, 3, "the file ends before its list does"],
    ["[{}, ", 1, 1, 5, "the file ends before its list does"],
    ['[{}, {"a": "b', 1, 1, 5, "the file ends inside this record"],
    ['[{}, {"a": "b\\', 1, 1, 5, "the file ends inside this record"],
    ["[1, {}]", 0, 0, 1, 'is no object: it begins with "1"'],
    ["[{}, [{}]]", 1, 1, 5, 'is no object: it begins with "["'],
    ['[{}, "a"]', 1, 1, 5, 'is no object: it begins with "\\""'],
    ["[{}, \u00e9]", 1, 1, 5, "is no object: it begins with byte 0xc3"],
    ["[{}, ]", 1, 1, 5, "a comma stands before the end of the list"],
    ["[, {}]", 0, 0, 1, 'is no object: it begins with ","'],
    ["[{} {}]", 1, 1, 4, 'follows without a comma: "{" stands there'],
    ["[{}]}", 1, 1, 4, '"}" stands after the end of the list'],
    ["[{}]\n[{}]", 1, 1, 5, '"[" stands after the end of the list'],
    ["[{}]\0", 1, 1, 4, "byte 0x00 stands after the end of the list"],
  ])(
    "of %j gives the records before the fault, and where it is",
    async (file, count, recordIndex, byteOffset, problem) => {
      for (const pieceSize of [1, 2, 1000]) {
        const { records, error } = await split(file, { pieceSize });
        expect(records).toHaveLength(count);
        expect(error).toBeInstanceOf(JsonArrayError);
        expect(error).toBeInstanceOf(DataFormatError);
        expect(error).toMatchObject({ recordIndex, problem: `${problem} (at byte ${byteOffset})` });
        expect(String(error)).toContain(
          `file.json, at ${recordIndex}: ${problem} (at byte ${byteOffset}). What to do: `,
        );
      }
    },
  );

  it("leaves a record that is no JSON inside its brackets to the parser, and goes on behind it", async () => {
    const texts: string[] = [];
    const bytes = encode('[{"a": 1}, {"a": nonsense, [}}, {"a": 3}]');
    for await (const record of splitJsonArray(inPieces(bytes, 3), { source: "file.json" })) {
      texts.push(decode(record.bytes));
    }
    expect(texts).toEqual(['{"a": 1}', '{"a": nonsense, [}}', '{"a": 3}']);
  });

  it("stops at a record whose end is missing instead of taking in the rest of the file", async () => {
    const file = `[{"a": 1}, {"a": "unclosed}, ${'{"a": 3}, '.repeat(1000)}{"a": 4}]`;
    const { records, error } = await split(file, { pieceSize: 16, mostRecordBytes: 200 });
    expect(records).toEqual([{ a: 1 }]);
    expect(error).toMatchObject({ recordIndex: 1 });
    expect(String(error)).toMatch(/has no end within 200 bytes: .* \(at byte 11\)/);
  });

  it("closes the stream when its reader stops early", async () => {
    let isClosed = false;
    async function* chunks(): AsyncGenerator<Uint8Array> {
      try {
        for (;;) yield await Promise.resolve(encode("[{}, {}, "));
      } finally {
        isClosed = true;
      }
    }
    for await (const record of splitJsonArray(chunks(), { source: "file.json" })) {
      if (record.index === 1) break;
    }
    expect(isClosed).toBe(true);
  });
});
