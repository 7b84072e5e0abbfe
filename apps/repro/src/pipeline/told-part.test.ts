import type { Conversation, Question } from "@memory-r1/spec";
import { describe, expect, it } from "vitest";
import { createEvidenceFilter, toldPart } from "./told-part.ts";

const conversation: Conversation = {
  id: "c1",
  participants: ["Ana", "Ben"],
  sessions: ["S1", "S2", "S3"].map((id, index) => ({
    id,
    dateText: `${index + 1} May 2024`,
    turns: [{ id: `D${index + 1}:1`, speaker: "Ana", text: "Hi" }],
    facts: [],
  })),
};

function asks(
  evidence: Partial<Pick<Question, "evidenceTurnIds" | "evidenceSessionIds">>,
  conversationId = "c1",
): Question {
  return {
    id: "q",
    conversationId,
    text: "?",
    category: { code: "1", names: {} },
    evidenceTurnIds: [],
    answerable: true,
    ...evidence,
  };
}

describe("the part of a conversation that is told", () => {
  it("is its first sessions, or all of it", () => {
    const idsOf = (sessions: number | undefined) =>
      toldPart(conversation, sessions).sessions.map(({ id }) => id);
    expect(idsOf(2)).toEqual(["S1", "S2"]);
    expect(idsOf(9)).toEqual(["S1", "S2", "S3"]);
    expect(toldPart(conversation, undefined)).toBe(conversation);
  });

  it.each<[question: Question, isAsked: boolean]>([
    [asks({ evidenceTurnIds: ["D1:1", "D2:1"] }), true],
    [asks({ evidenceTurnIds: ["D1:1", "D3:1"] }), false],
    [asks({ evidenceSessionIds: ["S2"] }), true],
    [asks({ evidenceTurnIds: ["D1:1"], evidenceSessionIds: ["S3"] }), false],
    // Nothing says where its evidence lies.
    [asks({}), false],
    [asks({ evidenceTurnIds: ["D1:1"] }, "c2"), false],
  ])("holds the whole evidence of a question, or it is not asked: %j", (question, isAsked) => {
    expect(createEvidenceFilter([conversation], 2)(question)).toBe(isAsked);
    expect(createEvidenceFilter([conversation], undefined)(question)).toBe(true);
  });
});
