import type { Conversation, Question, Session } from "@memory-r1/spec";
import { describe, expect, it } from "vitest";
import {
  askedQuestion,
  factsToldWith,
  openedConversation,
  type ReadFields,
  toldSession,
  toldTurn,
} from "./told-views.ts";

const session: Session = {
  id: "S1",
  dateText: "1 May 2024",
  turns: [
    { id: "D1:1", speaker: "Ana", text: "Hi" },
    { id: "D1:2", speaker: "Ben", text: "Hello", imageCaption: "a 🦜" },
  ],
  facts: [
    { id: "f0", text: "a", participant: "Ana", sourceTurnIds: ["D1:1", "D1:2"] },
    { id: "f1", text: "b", participant: "Ben", sourceTurnIds: ["D1:2"] },
    { id: "f2", text: "c", participant: "Ana", sourceTurnIds: [] },
  ],
  summary: "They greet.",
};
const conversation: Conversation = {
  id: "small",
  participants: ["Ana", "Ben"],
  sessions: [session],
};
const question: Question = {
  id: "q1_abs",
  conversationId: "small",
  text: "Who?",
  gold: "Ana",
  category: { code: "1", names: {} },
  evidenceTurnIds: ["D1:1"],
  answerable: true,
  dateText: "2 May 2024",
};

const readOf = (from: object, field: string) => (): unknown => Reflect.get(from, field);

describe("what a system is told", () => {
  it("is noted field by field when it is read, and not when it has no value", () => {
    const read: ReadFields = new Set();
    const turn = toldTurn(
      { id: "D1:2", speaker: "Ben", text: "Hello", imageCaption: "a 🦜" },
      read,
    );
    expect([...read]).toEqual([]);
    expect(`${turn.text} ${turn.imageCaption}`).toBe("Hello a 🦜");
    expect(turn.imageUrls).toBeUndefined();
    expect([...read]).toEqual(["turn.text", "turn.imageCaption"]);
  });

  it("can be spread, compared and cloned, and holds nothing that is hidden", () => {
    const read: ReadFields = new Set();
    const asked = askedQuestion(question, read);
    expect(Object.keys(asked)).toEqual(["id", "text", "dateText"]);
    expect(structuredClone(asked)).toEqual({ ...asked });
    expect(JSON.stringify(asked)).not.toMatch(/abs|Ana|D1:1/);
    expect(toldSession(session, read)).toEqual({ id: "S1", dateText: "1 May 2024" });
    expect(openedConversation(conversation, read)).toEqual({
      id: "small",
      participants: ["Ana", "Ben"],
    });
  });

  it.each(["gold", "category", "evidenceTurnIds", "answerable", "conversationId", "knownIssues"])(
    "throws where a question's %s is read",
    (field) => {
      const asked: object = askedQuestion(question, new Set());
      expect(readOf(asked, field)).toThrow(
        `question.${field} was read: no memory system may see it`,
      );
    },
  );

  it("throws where what is to come is read", () => {
    const read: ReadFields = new Set();
    expect(readOf(toldSession(session, read), "turns")).toThrow("session.turns");
    expect(readOf(toldSession(session, read), "summary")).toThrow("session.summary");
    expect(readOf(openedConversation(conversation, read), "sessions")).toThrow(
      "conversation.sessions",
    );
    expect([...read]).toEqual([]);
  });

  it("comes with the facts that begin in a turn, those without a turn with the last", () => {
    const idsWith = (turnId: string) =>
      factsToldWith(turnId, session, new Set()).map(({ id }) => id);
    expect(idsWith("D1:1")).toEqual(["f0"]);
    expect(idsWith("D1:2")).toEqual(["f1", "f2"]);
  });

  it("gives a question an id of its own, always the same", () => {
    const idOf = (one: Question) => askedQuestion(one, new Set()).id;
    expect(idOf(question)).toMatch(/^[0-9a-f]{16}$/);
    expect(idOf({ ...question, text: "another" })).toBe(idOf(question));
    expect(idOf({ ...question, id: "q2" })).not.toBe(idOf(question));
  });
});
