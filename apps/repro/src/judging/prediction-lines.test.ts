import { writeFile } from "node:fs/promises";
import { ConfigError } from "@memory-r1/spec";
import { expect, it } from "vitest";
import { useTemporaryFolder } from "../pipeline/__fixtures__/temporary-folder.ts";
import { readPredictionFile } from "./prediction-lines.ts";

const inFolder = useTemporaryFolder();

async function read(text: string) {
  const file = inFolder("predictions.jsonl");
  await writeFile(file, text);
  return readPredictionFile(file);
}

it("reads lines, numbers as texts, and counts lines as an editor does", async () => {
  const { lines, malformed } = await read(
    '\uFEFF{"question": "?", "answer": 2022, "prediction": 2022, "category": 2}\r\n\n' +
      '{"id": 7, "question": "?", "answer": null, "prediction": null, "type": "multi-session", "category": null, "answerable": false}',
  );
  expect(malformed).toEqual([]);
  expect(lines).toEqual([
    { line: 1, given: { question: "?", answer: "2022", prediction: "2022", category: "2" } },
    {
      line: 3,
      given: {
        id: "7",
        question: "?",
        prediction: null,
        type: "multi-session",
        answerable: false,
      },
    },
  ]);
});

it("names malformed lines by number and field, and loses no other", async () => {
  const good = '{"question": "?", "answer": "tea", "prediction": "tea"}';
  const { lines, malformed } = await read(
    [
      good,
      "{",
      '{"question": "?", "answer": "tea"}',
      '{"question": "?", "prediction": "x", "answerable": "no"}',
      '{"question": "?", "prediction": "x", "answer": ["tea"]}',
      "[]",
      good,
    ].join("\n"),
  );
  expect(lines.map(({ line }) => line)).toEqual([1, 7]);
  expect(malformed.map(({ line }) => line)).toEqual([2, 3, 4, 5, 6]);
  const problems = malformed.map(({ problem }) => problem);
  expect(problems[0]).toContain("predictions.jsonl:2: not valid JSON");
  expect(problems[1]).toContain("predictions.jsonl:3, at prediction");
  expect(problems[2]).toContain("predictions.jsonl:4, at answerable");
  expect(problems[3]).toContain("predictions.jsonl:5, at answer");
});

it("passes other fields on and names them, but not an earlier judge's verdicts", async () => {
  const { lines, otherFields } = await read(
    '{"question": "?", "prediction": "x", "answerble": false, "memories": [1], "line": 9, "key": "k", "score": 1, "reason": "r", "verdicts": []}',
  );
  expect(lines[0]?.given).toEqual({
    question: "?",
    prediction: "x",
    answerble: false,
    memories: [1],
  });
  expect(otherFields).toEqual(["answerble", "memories"]);
});

it.each([
  ["", "is empty"],
  ["\n \n", "is empty"],
  ["{}\n{}", "predictions.jsonl:1"],
])("refuses a file without a line to judge: %j", async (text, message) => {
  await expect(read(text)).rejects.toBeInstanceOf(ConfigError);
  await expect(read(text)).rejects.toThrow(message);
});

it("says which file cannot be read", async () => {
  await expect(readPredictionFile(inFolder("none.jsonl"))).rejects.toThrow("none.jsonl");
});
