import { splitPartNames } from "@memory-r1/spec";
import { z } from "zod";

/** Text with at least one character that is no white space. */
const text = z.string().regex(/\S/, "is empty");
const ids = z.array(text);

const neitherTextNorNumber = {
  error: "must be text that is not empty, or a whole number that JavaScript keeps exactly",
};
const textOrWholeNumber = z.union([text, z.int(neitherTextNorNumber)], neitherTextNorNumber);

const turnSchema = z.strictObject({
  id: text
    .optional()
    .describe(
      "Unique in its conversation. Left out: D<session>:<turn>, counted from 1, such as D2:5.",
    ),
  speaker: text.describe("Who says it: one of the participants."),
  text: text.describe("What is said."),
  imageCaption: text.optional().describe("What a shared picture shows."),
  imageUrls: z.array(text).optional().describe("Addresses of the shared pictures."),
});

const factSchema = z.strictObject({
  text: text.describe("A fact that an extraction step drew from turns of this session."),
  participant: text.describe("Whom it is about: one of the participants."),
  sourceTurnIds: ids
    .min(1, "names no turn")
    .describe("The turns of this session that it comes from."),
});

const sessionSchema = z.strictObject({
  id: text
    .optional()
    .describe("Unique in its conversation. Left out: session_<number>, counted from 1."),
  date: text.describe(
    "When it took place, as prompts show it: local time such as 2024-05-01 or 2024-05-01T18:30, or free text.",
  ),
  turns: z.array(turnSchema).min(1, "holds no turn").describe("What was said, in order."),
  facts: z
    .array(factSchema)
    .optional()
    .describe(
      "What the Memory Manager is told. Left out in all sessions of a conversation: it is told every turn.",
    ),
});

/** One line of conversations.jsonl. */
export const conversationLineSchema = z
  .strictObject({
    id: text.describe("Unique in the file."),
    participants: ids
      .min(1, "names nobody")
      .optional()
      .describe("Who takes part. Left out: the speakers, in the order in which they first speak."),
    split: z
      .enum(splitPartNames)
      .optional()
      .describe(
        "The part that the conversation belongs to. Left out in all lines: the set can be evaluated on, not trained on.",
      ),
    sessions: z
      .array(sessionSchema)
      .min(1, "holds no session")
      .describe("Sessions in order of time."),
  })
  .describe("A conversation: one line of conversations.jsonl.");
export type ConversationLine = z.infer<typeof conversationLineSchema>;

/** One line of questions.jsonl. */
export const questionLineSchema = z
  .strictObject({
    id: text
      .optional()
      .describe("Unique in the file. Left out: <conversationId>/qa-<number>, counted from 1."),
    conversationId: text.describe("The conversation that it is about."),
    text: text.describe("The question."),
    answer: textOrWholeNumber
      .optional()
      .describe(
        "The right answer; a whole number is read as text. Left out: the question cannot be graded.",
      ),
    category: textOrWholeNumber
      .optional()
      .describe("Tables give scores by category. Left out: none."),
    evidenceTurnIds: ids.optional().describe("The turns that the answer follows from."),
    evidenceSessionIds: ids.optional().describe("The sessions that the answer follows from."),
    answerable: z
      .boolean()
      .optional()
      .describe(
        "Whether the conversation holds the answer. Left out: true where there is an answer.",
      ),
    date: text.optional().describe("When it is asked; written as a session's date."),
  })
  .describe("A question: one line of questions.jsonl.");
export type QuestionLine = z.infer<typeof questionLineSchema>;
