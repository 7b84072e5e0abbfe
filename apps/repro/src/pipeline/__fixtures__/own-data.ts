import { writeFile } from "node:fs/promises";
import { join } from "node:path";

/** One session's facts, each said in a turn of its own, and a question about each. */
const conversations = {
  train: [
    ["Ada keeps three goats.", "How many goats does Ada keep?", "three"],
    ["Ada moved to Porto in May.", "Where did Ada move to?", "Porto"],
    ["Ben plays the cello.", "What does Ben play?", "the cello"],
    ["Ben is allergic to nuts.", "What is Ben allergic to?", "nuts"],
  ],
  validation: [
    ["Cem repairs old radios.", "What does Cem repair?", "old radios"],
    ["Cem's sister lives in Oslo.", "Where does Cem's sister live?", "Oslo"],
  ],
  test: [
    ["Dora paints lighthouses.", "What does Dora paint?", "lighthouses"],
    ["Dora's cat is called Plum.", "What is Dora's cat called?", "Plum"],
    ["Emil bakes bread on Sundays.", "When does Emil bake bread?", "Sundays"],
    ["Emil sold his red bicycle.", "What did Emil sell?", "his red bicycle"],
    ["Emil wants to see Kyoto.", "Which city does Emil want to see?", "Kyoto"],
  ],
} as const;

/** Writes a data set of the format `jsonl`: three short conversations, one for each part of the split. */
export async function writeOwnData(folder: string): Promise<void> {
  const parts = Object.entries(conversations);
  const told = parts.map(([split, facts]) => ({
    id: split,
    split,
    sessions: [
      {
        date: "2024-05-01",
        turns: facts.map(([text]) => ({ speaker: text.split(/[ ']/)[0], text })),
        facts: facts.map(([text], index) => ({
          text,
          participant: text.split(/[ ']/)[0],
          sourceTurnIds: [`D1:${index + 1}`],
        })),
      },
    ],
  }));
  const asked = parts.flatMap(([split, facts]) =>
    facts.map(([, text, answer], index) => ({
      conversationId: split,
      text,
      answer,
      evidenceTurnIds: [`D1:${index + 1}`],
    })),
  );
  await writeFile(join(folder, "conversations.jsonl"), lines(told));
  await writeFile(join(folder, "questions.jsonl"), lines(asked));
}

function lines(records: readonly unknown[]): string {
  return records.map((record) => `${JSON.stringify(record)}\n`).join("");
}
