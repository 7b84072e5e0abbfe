import type { Constraint } from "@memory-r1/spec";
import { z } from "zod";
import { lineSchema, listSchema, objectConstraint } from "../shared/json-reply.ts";

/** Characters under a grammar: of a keyword or tag, and of a context sentence or a question's keywords. */
const maxWordCharacters = 40;
const maxSentenceCharacters = 240;
const maxWords = 8;

const words = z.array(z.string());
/** Models write numbers as numbers or as text; both name the same neighbour. */
const numberSchema = z.union([z.string(), z.int()]).transform(String);

export const noteReplySchema = z.object({ keywords: words, context: z.string(), tags: words });

export const evolutionReplySchema = z.object({
  should_evolve: z.boolean(),
  actions: words.default([]),
  suggested_connections: z.array(numberSchema).default([]),
  tags_to_update: words.optional(),
  new_context_neighborhood: z.array(z.string()).default([]),
  new_tags_neighborhood: z.array(words).default([]),
});
export type EvolutionReply = z.infer<typeof evolutionReplySchema>;

export const queryReplySchema = z.object({ keywords: z.string() });

const word = lineSchema(maxWordCharacters);
const sentence = lineSchema(maxSentenceCharacters);
const wordList = listSchema(word, maxWords);

/** At least three keywords and tags, as the description asks for. */
export const noteConstraint: Constraint = objectConstraint({
  keywords: { ...wordList, minItems: 3 },
  context: sentence,
  tags: { ...wordList, minItems: 3 },
});

export function evolutionConstraint(neighbourCount: number): Constraint {
  return objectConstraint({
    should_evolve: { type: "boolean" },
    actions: listSchema({ enum: ["strengthen", "update_neighbor"] }, 2),
    suggested_connections: listSchema(
      { enum: Array.from({ length: neighbourCount }, (_, position) => position) },
      neighbourCount,
    ),
    tags_to_update: wordList,
    new_context_neighborhood: listSchema(sentence, neighbourCount),
    new_tags_neighborhood: listSchema(wordList, neighbourCount),
  });
}

export const queryConstraint: Constraint = objectConstraint({ keywords: sentence });
