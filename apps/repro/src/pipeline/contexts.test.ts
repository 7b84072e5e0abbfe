import { bankOfFacts, createBm25Retriever, datedFacts, type MemoryBank } from "@memory-r1/core";
import { datasets, loadLocomoMini } from "@memory-r1/datasets";
import type { Conversation, MemorySystem, Question } from "@memory-r1/spec";
import { describe, expect, it } from "vitest";
import {
  bankContext,
  noContext,
  oracleContext,
  otherConversationContext,
  systemContext,
} from "./contexts.ts";

const { conversations, questions } = await loadLocomoMini();
const retriever = createBm25Retriever();
const banks = new Map(
  conversations.map((conversation): [string, MemoryBank] => [
    conversation.id,
    bankOfFacts(datedFacts(conversation), "test"),
  ]),
);

function questionOf(id: string): Question {
  const question = questions.find((candidate) => candidate.id === id);
  if (question === undefined) throw new Error(`no question ${id}`);
  return question;
}

const plants = questionOf("mini-1/qa-9");
/** Its evidence is D1:5 and D4:4. */
const dogs = questionOf("mini-1/qa-2");
const elsewhere: Question = { ...plants, conversationId: "elsewhere" };

describe("the arm's own bank", () => {
  it("gives the best memories in the order in which they were said", async () => {
    const memories = await bankContext(banks, retriever, 2)(dogs);
    expect(memories).toHaveLength(2);
    const order = datedFacts(conversations[0] ?? empty).map(({ fact }) => fact.text);
    const positions = memories.map(({ text }) => order.indexOf(text));
    expect(positions[0]).toBeGreaterThanOrEqual(0);
    expect(positions[1]).toBeGreaterThan(positions[0] ?? 0);
    expect((await bankContext(banks, retriever, 1)(plants))[0]).toEqual({
      text: "Nora has 17 plants.",
      date: "10:30 am on 5 February, 2023",
      participant: "Nora",
    });
  });

  it("is missed where there is none", async () => {
    await expect(bankContext(banks, retriever, 1)(elsewhere)).rejects.toThrow("no bank for");
  });
});

describe("another conversation's bank", () => {
  it("is the next one's, the first one's after the last", async () => {
    const source = otherConversationContext(banks, retriever, 99);
    const textsOf = (index: number) =>
      datedFacts(conversations[index] ?? empty).map(({ fact }) => fact.text);
    const shownFor = async (id: string) => (await source(questionOf(id))).map(({ text }) => text);
    expect(await shownFor("mini-1/qa-0")).toEqual(textsOf(1));
    expect(await shownFor("mini-3/qa-0")).toEqual(textsOf(0));
  });

  it("needs two conversations", async () => {
    const one = new Map([...banks].slice(0, 1));
    await expect(otherConversationContext(one, retriever, 1)(plants)).rejects.toThrow(
      "needs two conversations",
    );
  });
});

const empty: Conversation = { id: "empty", participants: [], sessions: [] };

describe("no memories", () => {
  it("is none", async () => {
    expect(await noContext(plants)).toEqual([]);
  });
});

describe("the oracle", () => {
  const source = oracleContext(conversations, 8);

  it("gives all facts of all evidence turns, in the order of the evidence, each once", async () => {
    expect((await source(dogs)).map(({ text }) => text)).toEqual([
      "Tomas has a border collie named Pixel who is four years old.",
      "Tomas adopted a second dog named Biscuit on 21 April 2023, so he has 2 dogs now.",
    ]);
    // D1:7, D4:4 and D4:7: the collie, the morning runs, and one fact of both D4:4 and D4:7.
    const memories = await source(questionOf("mini-1/qa-8"));
    expect(memories.map(({ date }) => date.slice(-16))).toEqual([
      "14 January, 2023",
      "14 January, 2023",
      "on 22 April, 2023".slice(-16),
    ]);
  });

  it("gives a turn that has no fact as it was said", async () => {
    const turn = conversations[0]?.sessions[0]?.turns[2];
    expect(turn?.text).toBe("Four in the morning! How do you stay awake?");
    const memories = await source({ ...plants, evidenceTurnIds: ["D1:3", "D9:9"] });
    expect(memories).toEqual([
      {
        text: "Tomas: Four in the morning! How do you stay awake?",
        date: "6:10 pm on 14 January, 2023",
        participant: "Tomas",
      },
    ]);
  });

  it("keeps to the count, and knows nothing of other conversations' turns", async () => {
    expect(await oracleContext(conversations, 1)(dogs)).toHaveLength(1);
    expect(await source(elsewhere)).toEqual([]);
    expect(await source({ ...plants, evidenceTurnIds: [] })).toEqual([]);
  });
});

describe("a memory system", () => {
  const storesNothing = {
    stored: () => Promise.resolve([]),
    counts: () => ({ operations: {}, unparsable: 0, rejected: 0 }),
  };

  /** Keeps what it is told, and gives it back last first, with an item of its own. */
  function recordingSystem(told: string[]): MemorySystem {
    return {
      name: "recording",
      open: ({ id, participants }) => {
        told.push(`${id}: ${participants.join(", ")}`);
        const turnIds: string[] = [];
        return Promise.resolve({
          ingest: (turn, session, facts) => {
            turnIds.push(turn.id);
            told.push(`${session.id} ${turn.id} ${facts.map((fact) => fact.id).join("+")}`);
            return Promise.resolve();
          },
          context: (asked) =>
            Promise.resolve([
              { text: `notes on ${Object.keys(asked).join()}`, date: "", sourceTurnIds: [] },
              ...turnIds
                .toReversed()
                .map((turnId) => ({ text: turnId, date: "today", sourceTurnIds: [turnId] })),
            ]),
          ...storesNothing,
        });
      },
    };
  }

  const small: Conversation = {
    id: "small",
    participants: ["Ana", "Ben"],
    sessions: [
      {
        id: "S1",
        dateText: "1 May 2024",
        turns: [
          { id: "D1:1", speaker: "Ana", text: "Hi" },
          { id: "D1:2", speaker: "Ben", text: "Hello" },
        ],
        facts: [
          { id: "f0", text: "a", participant: "Ana", sourceTurnIds: ["D1:1", "D1:2"] },
          { id: "f1", text: "b", participant: "Ben", sourceTurnIds: ["D1:2"] },
          { id: "f2", text: "c", participant: "Ben", sourceTurnIds: ["D1:2"] },
          { id: "f3", text: "d", participant: "Ana", sourceTurnIds: [] },
        ],
      },
    ],
  };

  it("hears every turn once with the facts that begin in it, those without a turn with the last, before the first question", async () => {
    const told: string[] = [];
    await systemContext(recordingSystem(told), [small]);
    expect(told).toEqual(["small: Ana, Ben", "S1 D1:1 f0", "S1 D1:2 f1+f2+f3"]);
  });

  it("is shown in the order of the conversation, and sees of a question its id and text", async () => {
    const source = await systemContext(recordingSystem([]), [small]);
    expect(await source({ ...plants, conversationId: "small" })).toEqual([
      { text: "D1:1", date: "today", participant: "Ana" },
      { text: "D1:2", date: "today", participant: "Ben" },
      { text: "notes on id,text", date: "" },
    ]);
    await expect(source(plants)).rejects.toThrow("mini-1 was not told to recording");
  });

  it("never sees the ids that tell what is right", async () => {
    const { conversations: histories, questions: asked } =
      await datasets["longmemeval-mini"].load();
    // The questions themselves keep their official ids, and the file's session ids say "answer".
    expect(asked.map(({ id }) => id)).toContain("mini_multi_2_abs");
    const seen: unknown[] = [];
    const see = <T>(value: T, ...inputs: readonly unknown[]): Promise<T> => {
      seen.push(...inputs);
      return Promise.resolve(value);
    };
    const source = await systemContext(
      {
        name: "seeing",
        open: (opened) =>
          see(
            {
              ingest: (...inputs) => see(undefined, ...inputs),
              context: (question) => see([], question),
              ...storesNothing,
            },
            opened,
          ),
      },
      histories,
    );
    const ids: unknown[] = [];
    for (const question of asked) {
      await source(question);
      ids.push(seen.at(-1));
    }
    const turnCount = histories.flatMap(({ sessions }) =>
      sessions.flatMap(({ turns }) => turns),
    ).length;
    expect(seen).toHaveLength(histories.length + 3 * turnCount + asked.length);
    // Invented texts: none of them has the word.
    expect(JSON.stringify(seen)).not.toMatch(/answer|_abs|mini_/i);
    expect(new Set(ids.map((one) => JSON.stringify(one))).size).toBe(asked.length);
    // Asked again, a question has the same id.
    await source(asked[0] ?? plants);
    expect(seen.at(-1)).toEqual(ids[0]);
  });
});
