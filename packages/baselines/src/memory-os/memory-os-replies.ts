import type { Constraint } from "@memory-r1/spec";
import { z } from "zod";
import { lineSchema, listSchema, objectConstraint, objectSchema } from "../shared/json-reply.ts";

/** Characters under a grammar. */
const maxWordCharacters = 40;
const maxSentenceCharacters = 240;
const maxProfileCharacters = 800;
const maxWords = 8;
const maxFacts = 8;
/** Themes of one piece of conversation, as the description asks for. */
export const maxThemes = 2;

export const continuitySchema = z.object({ continuous: z.boolean() });
export const overviewSchema = z.object({ overview: z.string() });
export const themesSchema = z.object({
  summaries: z.array(z.object({ keywords: z.array(z.string()), content: z.string() })),
});
export const profileSchema = z.object({ profile: z.string() });
export const knowledgeSchema = z.object({
  private_facts: z.array(z.string()),
  assistant_knowledge: z.array(z.string()),
});

const word = lineSchema(maxWordCharacters);
const sentence = lineSchema(maxSentenceCharacters);

export const continuityConstraint: Constraint = objectConstraint({
  continuous: { type: "boolean" },
});
export const overviewConstraint: Constraint = objectConstraint({ overview: sentence });
export const themesConstraint: Constraint = objectConstraint({
  summaries: listSchema(
    objectSchema({ theme: word, keywords: listSchema(word, maxWords), content: sentence }),
    maxThemes,
  ),
});
export const profileConstraint: Constraint = objectConstraint({
  profile: lineSchema(maxProfileCharacters),
});
export const knowledgeConstraint: Constraint = objectConstraint({
  private_facts: listSchema(sentence, maxFacts),
  assistant_knowledge: listSchema(sentence, maxFacts),
});
