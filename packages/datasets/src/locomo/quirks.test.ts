import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { parseLocomo } from "./parse-locomo.ts";

/** An invented conversation with every oddity that was counted in the official file, and some that it does not have. */
const file = fileURLToPath(new URL("./__fixtures__/quirks.json", import.meta.url));

it("keeps or notes every oddity of the official file", () => {
  const { conversations, questions, notes } = parseLocomo(readFileSync(file), {
    name: "quirks",
    source: file,
  });
  const [quirks] = conversations;
  const turns = quirks?.sessions.flatMap((session) => session.turns) ?? [];
  const [first] = turns;
  expect(first?.text).toMatch(/^ .* $/);
  const pictures = turns.map(({ imageCaption, imageUrls }) => [
    imageCaption !== undefined,
    imageUrls?.length,
  ]);
  expect(pictures.filter(([hasCaption]) => hasCaption)).toEqual([
    [true, 1],
    [true, undefined],
    [true, 1],
  ]);
  expect(quirks?.sessions.map(({ id, dateTime }) => [id, dateTime])).toEqual([
    ["session_1", "2024-01-01T00:05"],
    ["session_2", "2024-02-29T12:30"],
    ["session_10", "2024-03-04T09:00"],
  ]);
  expect(questions.map(({ evidenceTurnIds }) => evidenceTurnIds.join(" "))).toEqual([
    "D1:4",
    "D1:1 D2:2",
    "D1:1 D2:2 D2:3",
    "D2:1",
    "D2:1 D1:4",
    "D10:2",
    "D10:2",
    "D2:3",
    "",
    "D1:4",
    "D2:2",
    "D2:1",
    "D2:1",
  ]);
  expect(
    questions
      .filter(({ category }) => category.code === "5")
      .map(({ gold, adversarialAnswer }) => [gold, adversarialAnswer]),
  ).toEqual([
    [undefined, "10 February 2024"],
    ["No", "Yes"],
  ]);
  expect(new Set(questions.map(({ text }) => text)).size).toBe(questions.length - 1);
  expect(notes).toEqual([
    'mini-quirks: session_3 has a date ("9:00 am on 3 March, 2024") and no turns',
    "mini-quirks/events_session_2: an event of Jakob is empty: dropped",
    'mini-quirks/events_session_10: date "5 March, 2024" is not the session\'s: not read',
    "mini-quirks/qa-0: the answer is a number, read as text",
    'mini-quirks/qa-1: evidence reference "D1:1; D2:2" read as 2 turns',
    'mini-quirks/qa-2: evidence reference "D1:1 D2:2 D2:3" read as 3 turns',
    'mini-quirks/qa-3: evidence reference "D:2:1" read as D2:1',
    'mini-quirks/qa-4: evidence reference "D02:01" read as D2:1',
    'mini-quirks/qa-5: evidence reference "D" is malformed: dropped',
    'mini-quirks/qa-6: evidence reference "D10:2" is there twice: kept once',
    'mini-quirks/qa-7: evidence reference "D9:4" names no turn: dropped',
    "mini-quirks/qa-12: no answer, though its category has answers: ungraded",
  ]);
});
