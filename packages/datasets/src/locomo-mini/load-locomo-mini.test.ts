import type { Conversation, Dataset, Question } from "@memory-r1/spec";
import { beforeAll, describe, expect, it } from "vitest";
import { parseLocomoDate } from "../locomo/dates.ts";
import { splitDataset } from "../split-dataset.ts";
import { loadLocomoMini } from "./load-locomo-mini.ts";

const words = (text: string): string[] => text.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? [];
const articles = new Set(["a", "an", "the", "and"]);

const countByCategory = (questions: readonly Question[]): number[] =>
  ["1", "2", "3", "4", "5"].map(
    (code) => questions.filter(({ category }) => category.code === code).length,
  );

/** What the evidence turns of a question say and show, with their sessions' dates. */
function evidenceText(conversation: Conversation, question: Question): string {
  return conversation.sessions
    .flatMap(({ turns, dateText }) =>
      turns
        .filter(({ id }) => question.evidenceTurnIds.includes(id))
        .map((turn) => `${turn.speaker} ${turn.text} ${turn.imageCaption ?? ""} ${dateText}`),
    )
    .join(" ");
}

describe("the mini set", () => {
  let dataset: Dataset;
  beforeAll(async () => {
    dataset = await loadLocomoMini();
  });

  it("has three conversations of two speakers, with questions of every category", () => {
    expect(dataset.name).toBe("locomo-mini");
    expect(dataset.conversations.map(({ id, sessions }) => [id, sessions.length])).toEqual([
      ["mini-1", 6],
      ["mini-2", 5],
      ["mini-3", 5],
    ]);
    for (const conversation of dataset.conversations) {
      const questions = dataset.questions.filter(
        ({ conversationId }) => conversationId === conversation.id,
      );
      expect(questions).toHaveLength(25);
      expect(countByCategory(questions).every((count) => count >= 3)).toBe(true);
      const facts = conversation.sessions.flatMap((session) => session.facts);
      expect(facts.length).toBeGreaterThanOrEqual(20);
      expect(facts.length).toBeLessThanOrEqual(28);
      for (const { turns, dateTime } of conversation.sessions) {
        expect(turns.length).toBeGreaterThanOrEqual(8);
        expect(turns.length).toBeLessThanOrEqual(12);
        expect(dateTime).toBeDefined();
      }
      expect(
        conversation.sessions
          .flatMap(({ turns }) => turns)
          .some(({ imageCaption }) => imageCaption !== undefined),
      ).toBe(true);
    }
  });

  it("has nothing odd but its integer answers", () => {
    expect(dataset.notes.length).toBeGreaterThan(0);
    for (const line of dataset.notes) expect(line).toMatch(/the answer is a number, read as text$/);
  });

  it("has turn ids by position and sessions in order of time", () => {
    for (const { sessions } of dataset.conversations) {
      for (const [index, { turns }] of sessions.entries()) {
        expect(turns.map(({ id }) => id)).toEqual(
          turns.map((_, position) => `D${index + 1}:${position + 1}`),
        );
      }
      const times = sessions.map(({ dateTime }) => dateTime ?? "");
      expect(times.toSorted()).toEqual(times);
    }
  });

  it("gives every question evidence, and gold of one to six words to all but the adversarial", () => {
    for (const { id, category, gold, answerable, evidenceTurnIds } of dataset.questions) {
      expect(evidenceTurnIds.length, id).toBeGreaterThan(0);
      expect(answerable, id).toBe(category.code !== "5");
      expect(words(gold ?? "").length > 0, id).toBe(category.code !== "5");
      expect(words(gold ?? "").length, id).toBeLessThanOrEqual(6);
    }
  });

  it("can answer multi-hop and single-hop questions word by word from the evidence, and from facts", () => {
    for (const conversation of dataset.conversations) {
      const facts = words(
        conversation.sessions.flatMap((session) => session.facts.map(({ text }) => text)).join(" "),
      );
      for (const question of dataset.questions) {
        if (
          question.conversationId !== conversation.id ||
          !["1", "4"].includes(question.category.code)
        )
          continue;
        const said = words(evidenceText(conversation, question));
        for (const word of words(question.gold ?? "").filter((one) => !articles.has(one))) {
          expect(
            said.some((other) => other === word),
            `${question.id}: ${word} in evidence`,
          ).toBe(true);
          expect(facts.includes(word), `${question.id}: ${word} in facts`).toBe(true);
        }
      }
    }
  });

  it("has temporal answers that a fact states and that lie within five weeks of an evidence session", () => {
    for (const conversation of dataset.conversations) {
      const facts = conversation.sessions.flatMap((session) =>
        session.facts.map(({ text }) => text),
      );
      for (const question of dataset.questions) {
        if (question.conversationId !== conversation.id || question.category.code !== "2") continue;
        const gold = question.gold ?? "";
        expect(
          facts.some((fact) => fact.includes(gold)),
          question.id,
        ).toBe(true);
        const answer = parseLocomoDate(`12:00 pm on ${gold.replace(/ (\d{4})$/, ", $1")}`);
        const sessions = conversation.sessions.filter(({ turns }) =>
          turns.some(({ id }) => question.evidenceTurnIds.includes(id)),
        );
        const isStated = words(evidenceText(conversation, question))
          .join(" ")
          .includes(words(gold).slice(0, 2).join(" "));
        const daysApart = sessions.map(
          ({ dateTime = "" }) =>
            Math.abs(Date.parse(`${answer}Z`) - Date.parse(`${dateTime}Z`)) / 86_400_000,
        );
        expect(answer, question.id).toBeDefined();
        expect(isStated || daysApart.some((days) => days <= 35), question.id).toBe(true);
      }
    }
  });

  it("tells something again in each conversation, for a Manager to leave alone", () => {
    // Facts of a later session whose words are nearly all in one earlier fact.
    const repeated = dataset.conversations.map(({ sessions }) => {
      const earlier: string[][] = [];
      let count = 0;
      for (const { facts } of sessions) {
        for (const { text } of facts) {
          const own = words(text);
          if (earlier.some((other) => own.every((word) => other.includes(word)))) count += 1;
        }
        earlier.push(...facts.map(({ text }) => words(text)));
      }
      return count;
    });
    expect(
      repeated.every((count) => count >= 1),
      repeated.join(" "),
    ).toBe(true);
  });

  it("splits into one conversation each", () => {
    const { train, validation, test } = splitDataset(dataset, "memory-r1");
    const parts = [train, validation, test];
    expect(parts.map(({ conversations }) => conversations.map(({ id }) => id))).toEqual([
      ["mini-1"],
      ["mini-2"],
      ["mini-3"],
    ]);
    expect(parts.map(({ questions }) => questions.length)).toEqual([22, 22, 22]);
    expect(parts.map(({ adversarialQuestions }) => adversarialQuestions.length)).toEqual([3, 3, 3]);
  });
});
