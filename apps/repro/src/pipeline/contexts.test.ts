import {
  bankOfFacts,
  createBm25Retriever,
  datedFacts,
  type MemoryBank,
  type Retriever,
} from "@memory-r1/core";
import { loadLocomoMini } from "@memory-r1/datasets";
import type { Conversation, Question } from "@memory-r1/spec";
import { describe, expect, it } from "vitest";
import {
  bankContext,
  noContext,
  oracleContext,
  otherConversationContext,
  playedContext,
  storedContext,
} from "./contexts.ts";
import { noUsage } from "./systems/model-usage.ts";
import type { PlayedQuestion } from "./systems/play-systems.ts";

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

describe("what a memory system stores", () => {
  const items = ["D1:3", "D1:1", "nowhere"].map((turnId, index) => ({
    text: `item ${index}`,
    date: "1 May 2024",
    sourceTurnIds: [turnId],
  }));
  const played = new Map([
    [
      "mini-1",
      {
        memory: {
          turns: 3,
          stored: items,
          everStored: new Set<string>(),
          counts: { operations: {}, unparsable: 0, rejected: 0 },
          usage: noUsage,
          read: new Set<string>(),
          embeddedTexts: 0,
          embeddedWhileTold: 0,
        },
      },
    ],
  ]);
  /** The last ones first. */
  const backwards: Retriever = {
    name: "backwards",
    rank: (_, all, count) => Promise.resolve(all.toReversed().slice(0, count)),
  };

  it("is ranked by the retriever and shown in the order of the conversation, with who said it", async () => {
    const all = await storedContext(played, conversations, backwards, 9)(plants);
    expect(all).toEqual([
      { text: "item 1", date: "1 May 2024", participant: "Tomas" },
      { text: "item 0", date: "1 May 2024", participant: "Tomas" },
      { text: "item 2", date: "1 May 2024" },
    ]);
    const two = await storedContext(played, conversations, backwards, 2)(plants);
    expect(two.map(({ text }) => text)).toEqual(["item 1", "item 2"]);
  });

  it("is nothing of a conversation that was not told", async () => {
    await expect(storedContext(played, conversations, backwards, 2)(elsewhere)).rejects.toThrow(
      "nothing was told of",
    );
  });
});

describe("a memory system that was played", () => {
  const memories = [{ text: "Nora has plants.", date: "1 May 2024", participant: "Nora" }];
  const played = (context: PlayedQuestion["context"]) =>
    new Map([
      [
        "mini-1",
        {
          memory: {
            turns: 0,
            stored: [],
            everStored: new Set<string>(),
            counts: { operations: {}, unparsable: 0, rejected: 0 },
            usage: noUsage,
            read: new Set<string>(),
            embeddedTexts: 0,
            embeddedWhileTold: 0,
          },
          questions: new Map([
            [
              plants.id,
              {
                searchUsage: noUsage,
                answerUsage: noUsage,
                context,
                answer: undefined,
                unparsableReplies: undefined,
              },
            ],
          ]),
        },
      ],
    ]);

  it("gives what it gave when it was asked", async () => {
    expect(await playedContext("rag", played(memories))(plants)).toEqual(memories);
  });

  it.each([
    ["a question that it was not asked", dogs, memories],
    ["another conversation's", elsewhere, memories],
    ["a question for which it was asked for no context", plants, undefined],
    ["a question that failed", plants, { failed: "HTTP 503" }],
  ])("has nothing for %s", async (_, question, context) => {
    await expect(playedContext("rag", played(context))(question)).rejects.toThrow(
      "rag gave no context for",
    );
  });
});
