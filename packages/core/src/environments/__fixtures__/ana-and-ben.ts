import type { Conversation, ExtractedFact, Question } from "@memory-r1/spec";

type Written = readonly [participant: string, turnId: string, text: string];

/** Fact 5 says again what fact 0 says, 6 is about nothing that anybody asks. */
const written: readonly (readonly Written[])[] = [
  [
    ["Ana", "D1:1", "Ana lives in Lisbon"],
    ["Ben", "D1:2", "Ben has a parrot named Kiwi"],
    ["Ana", "D1:3", "Ana plays the harp"],
  ],
  [
    ["Ana", "D2:1", "Ana teaches nine pupils"],
    ["Ben", "D2:2", "Ben painted his kitchen yellow"],
    ["Ana", "D2:3", "Ana lives in Lisbon"],
    ["Ben", "D2:4", "Ben slept well"],
  ],
];

const toFact = ([participant, turnId, text]: Written): ExtractedFact => ({
  id: `fact of ${turnId}`,
  text,
  participant,
  sourceTurnIds: [turnId],
});

/** Two sessions of two people, one fact a turn. */
export const conversation: Conversation = {
  id: "ana-and-ben",
  participants: ["Ana", "Ben"],
  sessions: written.map((facts, index) => ({
    id: `D${index + 1}`,
    dateText: index === 0 ? "1 May 2024" : "2 June 2024",
    turns: facts.map(([speaker, id, text]) => ({ id, speaker, text })),
    facts: facts.map(toFact),
  })),
};

function ask(name: string, text: string, gold: string | undefined, ...evidence: string[]) {
  return {
    id: `ana-and-ben/${name}`,
    conversationId: conversation.id,
    text,
    ...(gold === undefined ? {} : { gold }),
    category: { code: "4", names: {} },
    evidenceTurnIds: evidence,
    answerable: gold !== undefined,
  } satisfies Question;
}

/** One question for each fact but the last, one that needs a fact of each person, one that has no gold answer. */
export const questions = {
  city: ask("city", "Where does Ana live?", "Lisbon", "D1:1"),
  parrot: ask("parrot", "What is the parrot of Ben named?", "Kiwi", "D1:2"),
  instrument: ask("instrument", "What does Ana play?", "harp", "D1:3"),
  pupils: ask("pupils", "How many pupils does Ana have?", "nine", "D2:1"),
  kitchen: ask("kitchen", "What colour has the kitchen of Ben?", "yellow", "D2:2"),
  home: ask("home", "Which city is the home of Ana?", "Lisbon", "D2:3"),
  pet: ask("pet", "Which pet has the friend of who plays the harp?", "parrot", "D1:2", "D1:3"),
  ungraded: ask("ungraded", "Why does Ben sleep?", undefined, "D2:4"),
} as const;

export const allQuestions: readonly Question[] = Object.values(questions);
