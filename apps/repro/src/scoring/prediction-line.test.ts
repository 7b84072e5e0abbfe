import { graded, ungraded } from "@memory-r1/spec";
import { describe, expect, it } from "vitest";
import { readPredictionLine, scoreFields } from "./prediction-line.ts";

const read = (text: string, needsAnswers = true) =>
  readPredictionLine({ number: 7, content: { kind: "text", text } }, { needsAnswers });

const none = {
  prediction: undefined,
  answer: undefined,
  category: undefined,
  contextIds: undefined,
  evidence: undefined,
};

describe("readPredictionLine", () => {
  it("reads text and numbers as text, and null as absent", () => {
    expect(
      read(
        '{"prediction":2022,"answer":"May 2022","category":3,"contextIds":["D1:1",4],"evidence":[]}',
      ),
    ).toMatchObject({
      kind: "prediction",
      line: {
        prediction: "2022",
        answer: "May 2022",
        category: "3",
        contextIds: ["D1:1", "4"],
        evidence: [],
      },
    });
    expect(read('{"prediction":-2.5,"answer":0}')).toMatchObject({
      line: { prediction: "-2.5", answer: "0" },
    });
    expect(read('{"prediction":null,"answer":null,"category":null}')).toEqual({
      kind: "prediction",
      line: none,
      write: expect.any(Function),
    });
    expect(read('{"prediction":"","answer":""}')).toMatchObject({
      line: { prediction: "", answer: "" },
    });
    // Retrieval needs neither.
    expect(read('{"id":1}', false)).toEqual({
      kind: "prediction",
      line: none,
      write: expect.any(Function),
    });
  });

  it.each([
    ["{", "line 7 is not JSON: "],
    ["[1]", "line 7 is not a JSON object"],
    ["null", "line 7 is not a JSON object"],
    ['{"answer":"a"}', "line 7, prediction is missing: write null where there is none"],
    ['{"prediction":"a","anwser":"b"}', "line 7, answer is missing"],
    ['{"prediction":true,"answer":"a"}', "line 7, prediction must be text or a number"],
    ['{"prediction":"a","answer":["b"]}', "line 7, answer must be text or a number"],
    ['{"prediction":"a","answer":1e999}', "line 7, answer must be text or a number"],
    [
      '{"prediction":"a","answer":12345678901234567890}',
      "line 7, answer is a whole number too large to be exact",
    ],
    [
      '{"prediction":"a","answer":"b","evidence":"D1:1"}',
      "line 7, evidence must be a list of texts",
    ],
    ['{"prediction":"a","answer":"b","contextIds":[{}]}', "line 7, contextIds, 0 must be text"],
  ])("says what is wrong in %s", (text, problem) => {
    const line = read(text);
    expect(line.kind).toBe("malformed");
    expect(line).toMatchObject({ problem: expect.stringContaining(problem) });
  });
});

describe("what is written", () => {
  const written = (text: string, fields: Parameters<ReturnType<typeof read>["write"]>[0]) =>
    read(text).write(fields);

  it("is the line byte for byte with the fields behind", () => {
    const text =
      ' {"big":12345678901234567890, "f":1.0,"u":"\\u00e9","prediction":"a","answer":"}"  } ';
    expect(written(text, { score: 0.5 })).toEqual({
      text: ' {"big":12345678901234567890, "f":1.0,"u":"\\u00e9","prediction":"a","answer":"}","score":0.5}',
      replaced: false,
    });
    expect(written("{ }", { score: null, reason: "x" }).text).toBe('{"score":null,"reason":"x"}');
  });

  it("replaces an earlier score, with its reason, and says so", () => {
    expect(
      written('{"prediction":"a","answer":"b","score":null,"reason":"old","id":1}', { score: 1 }),
    ).toEqual({ text: '{"prediction":"a","answer":"b","score":1,"id":1}', replaced: true });
    expect(
      written('{"prediction":"a","answer":"b","scores":{"m":null},"reasons":{"m":"x"}}', {
        scores: { m: 1 },
      }).text,
    ).toBe('{"prediction":"a","answer":"b","scores":{"m":1}}');
    // A reason that does not explain a missing score is somebody else's.
    expect(
      written('{"prediction":"a","answer":"b","score":9,"reason":"mine"}', { score: 1 }).text,
    ).toBe('{"prediction":"a","answer":"b","score":1,"reason":"mine"}');
  });

  it("keeps what is no object, no text, or too long, as far as it can be kept", () => {
    const fields = { score: null, reason: "x" };
    expect(written("[1]", fields).text).toBe('{"raw":"[1]","score":null,"reason":"x"}');
    const options = { needsAnswers: true };
    const noText = { number: 2, content: { kind: "no-utf8", bytes: Uint8Array.of(255) } } as const;
    expect(readPredictionLine(noText, options).write(fields).text).toBe(
      '{"rawBase64":"/w==","score":null,"reason":"x"}',
    );
    const tooLong = { number: 2, content: { kind: "too-long", byteLength: 9 } } as const;
    const line = readPredictionLine(tooLong, options);
    expect(line).toMatchObject({
      problem: "line 2 has 9 bytes, which is too many: its text is not kept",
    });
    expect(line.write(fields).text).toBe('{"score":null,"reason":"x"}');
  });
});

describe("scoreFields", () => {
  it("gives a score for one metric and scores for several, with the reasons of those that are missing", () => {
    const no = ungraded("no gold answer");
    expect(scoreFields(new Map([["a", graded(0)]]))).toEqual({ score: 0 });
    expect(scoreFields(new Map([["a", no]]))).toEqual({ score: null, reason: "no gold answer" });
    expect(
      scoreFields(
        new Map([
          ["a", graded(1)],
          ["b", graded(0.5)],
        ]),
      ),
    ).toEqual({ scores: { a: 1, b: 0.5 } });
    expect(
      scoreFields(
        new Map([
          ["a", graded(1)],
          ["b", no],
        ]),
      ),
    ).toEqual({ scores: { a: 1, b: null }, reasons: { b: "no gold answer" } });
  });
});
