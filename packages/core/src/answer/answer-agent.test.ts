import { describe, expect, it } from "vitest";
import { createAnswerAgent } from "./answer-agent.ts";
import type { AnswerVariantName } from "./variants/registry.ts";

const memories = [
  { text: "Mia moved to Porto", date: "1 May 2024", participant: "Mia" },
  { text: "Leo likes\nthe beach 🏖️", date: "2 June 2024" },
];
const question = { text: "Where does Mia live?" };

it("shows the day of the question where there is one", () => {
  const agent = createAnswerAgent({ variant: "short" });
  const promptOf = (asked: { text: string; dateText?: string }): string | undefined =>
    agent.prompt({ question: asked, memories }).at(-1)?.content;
  expect(promptOf({ ...question, dateText: "3 June 2024" })).toMatch(
    /Question: Where does Mia live\? \(asked on 3 June 2024\)$/,
  );
  expect(promptOf(question)).toMatch(/Question: Where does Mia live\?$/);
});

describe("distill", () => {
  const agent = createAnswerAgent({ variant: "distill" });

  it.each([
    ["- 1: Mia moved to Porto\n- 2\n**Answer:** Porto", "Porto", ["1: Mia moved to Porto", "2"]],
    ["**Answer:** Porto", "Porto", []],
    ["**Answer:**\n\nPorto\n", "Porto", []],
    ["**Memories selected:**\n* 1\n\n**Answer:** Rome\n2\n**Answer:** Porto", "Porto", ["1", "2"]],
    ["**Answer:** 東京 🗼", "東京 🗼", []],
  ])("reads %j", (text, answer, selected) => {
    expect(agent.parse(text)).toEqual({ status: "parsed", answer, selected });
  });

  it.each([
    ["", "no **Answer:**"],
    ["Porto", "no **Answer:**"],
    ["Answer: Porto", "no **Answer:**"],
    ["**Answer:** Porto\n**Answer:**  ", "nothing after"],
  ])("counts %j as unparsable and keeps it", (text, reason) => {
    expect(agent.parse(text)).toEqual({
      status: "unparsable",
      reason: expect.stringContaining(reason),
      raw: text,
    });
  });

  it("does not count the prompt's marker as the reply's", () => {
    const prompt = agent
      .prompt({ question, memories })
      .map(({ content }) => content)
      .join("\n");
    expect(prompt).toContain("**Answer:**");
    expect(agent.parse("I do not know.").status).toBe("unparsable");
  });
});

describe("short", () => {
  const agent = createAnswerAgent({ variant: "short" });

  it.each([
    ["Porto", "Porto"],
    ["\n  Answer: Porto. \nBecause she moved.", "Porto."],
    ["answer:Porto", "Porto"],
    ["The Answer: Porto", "The Answer: Porto"],
  ])("reads %j", (text, answer) => {
    expect(agent.parse(text)).toEqual({ status: "parsed", answer });
  });

  it.each(["", " \n\t", "Answer:", "Answer: \nPorto"])("counts %j as unparsable", (text) => {
    expect(agent.parse(text)).toMatchObject({ status: "unparsable", raw: text });
  });

  it("shows memories in the order given, one line each, and the question last", () => {
    expect(agent.prompt({ question, memories }).at(-1)?.content).toBe(
      "Memories:\n1 May 2024: Mia moved to Porto\n2 June 2024: Leo likes the beach 🏖️\n\nQuestion: Where does Mia live?",
    );
    expect(agent.prompt({ question, memories: [] }).at(-1)?.content).toContain("(none)");
  });
});

describe.each(["distill", "short"] as const satisfies readonly AnswerVariantName[])(
  "%s prompt",
  (variant) => {
    it("renders as recorded", async () => {
      const messages = createAnswerAgent({ variant }).prompt({ question, memories });
      const text = messages.map(({ role, content }) => `## ${role}\n${content}\n`).join("\n");
      await expect(text).toMatchFileSnapshot(`__snapshots__/${variant}.txt`);
    });
  },
);
