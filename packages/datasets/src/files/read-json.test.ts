import { describe, expect, it } from "vitest";
import { readJson, splitLines } from "./read-json.ts";

const read = (bytes: Uint8Array | string) =>
  readJson(typeof bytes === "string" ? new TextEncoder().encode(bytes) : bytes, {
    file: "data.json",
  });

/** The faults in short, or the value. */
function summary(bytes: Uint8Array | string): unknown {
  const reading = read(bytes);
  return reading.status === "read"
    ? reading.value
    : reading.faults.map(({ file, line, field, problem }) =>
        [file, line, field, problem].join(" | "),
      );
}

describe("readJson", () => {
  it("reads UTF-8 with or without a byte order mark", () => {
    expect(summary('{"a":"é 🐝"}')).toEqual({ a: "é 🐝" });
    expect(summary(Buffer.from('\ufeff{"a":1}'))).toEqual({ a: 1 });
  });

  it("refuses other encodings, and replaces nothing", () => {
    expect(summary(Buffer.from('\ufeff{"a":1}', "utf16le"))).toEqual([
      "data.json |  |  | is UTF-16",
    ]);
    expect(summary(Buffer.from('{"a":1}', "utf16le"))).toEqual([
      "data.json |  |  | is UTF-16 or UTF-32, or a binary file",
    ]);
    expect(summary(Buffer.from('{"a":1,\n"b":"café"}', "latin1"))).toEqual([
      "data.json | 2 |  | holds bytes that are no UTF-8 (Latin-1 or another encoding)",
    ]);
  });

  it("shows where bytes are no UTF-8", () => {
    const reading = read(Buffer.from(`{"${"x".repeat(50)}":"café"}`, "latin1"));
    expect(reading).toMatchObject({
      faults: [{ value: expect.stringContaining("caf\ufffd"), fix: "save the file as UTF-8" }],
    });
  });

  it("says what is no JSON, and where", () => {
    expect(summary('{"a":1,\n"b":')).toEqual([
      expect.stringMatching(/^data\.json \| 2 \| {2}\| is not valid JSON: Unexpected end of JSON/),
    ]);
    expect(summary("")).toEqual([
      expect.stringMatching(/^data\.json \| 1 \| {2}\| is not valid JSON: Unexpected end of JSON/),
    ]);
    expect(read('{"a":NaN}')).toMatchObject({
      faults: [{ fix: "JSON has no NaN: leave the field out" }],
    });
    expect(read('{"a":-Infinity}')).toMatchObject({ status: "faulty" });
  });

  it("finds what JSON.parse passes over, unless it is told that there is nothing", () => {
    const twice = '{"a":1,\n"a":2}';
    expect(summary(twice)).toEqual(["data.json | 2 | a | stands twice in one object"]);
    expect(readJson(Buffer.from(twice), { file: "data.json" }, { findFlaws: false })).toEqual({
      status: "read",
      value: { a: 2 },
    });
  });

  it("keeps the line that it is told", () => {
    const reading = readJson(Buffer.from("{"), { file: "data.jsonl", line: 7 });
    expect(reading).toMatchObject({ faults: [{ file: "data.jsonl", line: 7 }] });
  });
});

it("splits lines at both kinds of line ends", () => {
  const lines = (text: string) =>
    [...splitLines(Buffer.from(text))].map((line) => Buffer.from(line).toString());
  expect(lines("a\nb\r\n\nc")).toEqual(["a", "b", "", "c"]);
  expect(lines("a\n")).toEqual(["a"]);
  expect(lines("\n")).toEqual([""]);
  expect(lines("")).toEqual([]);
  expect(lines("a\rb")).toEqual(["a\rb"]);
});
