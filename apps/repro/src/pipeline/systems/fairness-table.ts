import type { TableData } from "@memory-r1/report";
import type { AnswerAgent } from "@memory-r1/core";
import type { Conversation, Question } from "@memory-r1/spec";
import { type Arm, type Experiment, shownMemories } from "../../experiment.ts";
import { type Prediction, withoutGold } from "../answer-questions.ts";
import { askedOf, type Evaluation } from "../evaluate-arms.ts";
import { memoryOf, readingArms, reranks } from "./arm-memory.ts";
import { addUsage, type ModelUsage, noUsage } from "./model-usage.ts";
import type { PlayedQuestion } from "./play-systems.ts";
import type { createTokenCounter } from "./token-counter.ts";

type FairnessSource = Pick<
  Evaluation,
  "questions" | "predictions" | "banks" | "systems" | "conversations"
>;

export interface FairnessOptions {
  readonly experiment: Experiment;
  readonly evaluation: FairnessSource;
  readonly tokens: ReturnType<typeof createTokenCounter>;
  /** The Answer Agent as an arm asks it. */
  readonly agentOf: (arm: Arm) => Pick<AnswerAgent, "prompt">;
}

/**
 * What each arm cost and was shown, as if it had run alone. From journals and answers, never from what was asked just
 * now: a resumed run has the same sheet to the byte. Latencies are in a table of their own.
 */
export function fairnessTable(options: FairnessOptions): TableData {
  const { experiment } = options;
  const count = (key: string, label: string) => ({ key, label, kind: "count" as const });
  const text = (key: string, label: string) => ({ key, label, kind: "text" as const });
  const mean = (key: string, label: string) => ({ key, label, kind: "score" as const });
  const { reranker } = experiment.evaluation;
  const isReranked = experiment.evaluation.arms.some(reranks);
  return {
    title: "Fairness sheet",
    columns: [
      text("system", "System"),
      text("arm", "Arm"),
      count("turns", "Turns told"),
      count("memoryCalls", "LLM calls, memory"),
      count("memoryPromptTokens", "prompt tokens"),
      count("memoryCompletionTokens", "completion tokens"),
      count("memoryUnparsable", "unparsable replies"),
      mean("memoryUnparsableShare", "share of calls"),
      count("questions", "Questions"),
      count("questionCalls", "LLM calls, questions"),
      count("questionPromptTokens", "prompt tokens"),
      count("questionCompletionTokens", "completion tokens"),
      count("unparsableAnswers", "Unparsable answers"),
      count("failedAnswers", "Failed answers"),
      text("answeredBy", "Answered by"),
      count("most", "Most memories"),
      mean("retrieved", "Retrieved, mean"),
      mean("shown", "Shown, mean"),
      count("shownMost", "Shown, most"),
      mean("contextTokens", "Context tokens, mean"),
      count("stored", "Memories stored"),
      count("storageBytes", "Storage, bytes"),
      count("embeddedTexts", "Texts embedded"),
      // No columns for what no arm does: such a sheet is what it was before there were rerankers.
      ...(isReranked
        ? [count("rerankCalls", "Reranker calls"), count("rerankedTexts", "texts scored")]
        : []),
      text("facts", "Saw facts"),
      text("captions", "Saw captions"),
      text("dates", "Saw dates"),
      text("categories", "Saw categories"),
    ],
    rows: readingArms(experiment.evaluation.arms).map((arm) => rowOf(arm, options)),
    notes: [
      `Equal for all: the chat model, the embedding model, at most ${experiment.answer.memories} memories for a question, temperature 0. Seen by none: gold answer, category, evidence (a read throws).`,
      "Calls and tokens are what the arm would cost alone; training is not in them. Tokens by the chat model's tokenizer. A Manager is called by fact, every other system by turn.",
      "Storage: bytes of the stored memories as JSON. Texts embedded: those that a system embeds itself, beside the shared retriever; – where all goes through the retriever.",
      ...(isReranked
        ? [
            `Reranked arms: of all that the memory stores, the retriever's best candidates are ordered by ${reranker?.name ?? "the reranker"}, and as many are shown as "Most memories" says. A call scores the candidates of one question; a system's own search and answer are not asked.`,
          ]
        : []),
      "Saw: what the system's code read while it was told and asked; – where the data has none. Facts are those of the data set's extraction step.",
    ],
  };
}

function rowOf(
  arm: Arm,
  { experiment, evaluation, tokens, agentOf }: FairnessOptions,
): Record<string, string | number | undefined> {
  const asked = askedOf(arm, evaluation.questions);
  const predictions = new Map(
    (evaluation.predictions.get(arm.name) ?? []).map((one) => [one.questionId, one]),
  );
  const ids = new Set(asked.map(({ conversationId }) => conversationId));
  const told = evaluation.conversations.filter(({ id }) => ids.has(id));
  const memories = told.flatMap((conversation) => memoryOf(arm, conversation, evaluation) ?? []);
  const memoryUsage = memories.map(({ usage }) => usage).reduce(addUsage, noUsage);
  const unparsable = sum(memories.map(({ counts }) => counts.unparsable));
  const read = new Set(memories.flatMap((memory) => [...memory.read]));

  const played = (question: Question): PlayedQuestion | undefined =>
    arm.memory.kind === "baseline" && !reranks(arm)
      ? evaluation.systems
          .get(arm.memory.baseline)
          ?.get(question.conversationId)
          ?.questions.get(question.id)
      : undefined;
  const answersItself =
    arm.answer === "untrained" && asked.some((question) => played(question)?.answer !== undefined);
  const answers = asked.flatMap((question) => {
    const prediction = predictions.get(question.id);
    return prediction === undefined ? [] : [{ question, prediction }];
  });
  const questionUsage = answers
    .map(({ question, prediction }): ModelUsage => {
      const own = played(question);
      if (answersItself) return own?.answerUsage ?? noUsage;
      const search = own?.searchUsage ?? noUsage;
      return addUsage(search, readerUsage(question, prediction, agentOf(arm), tokens));
    })
    .reduce(addUsage, noUsage);
  const known = answers
    .map(({ prediction }) => prediction)
    .filter(({ outcome, memories: shown }) => outcome.status !== "failed" || shown.length > 0);
  const shown = known.map((prediction) => prediction.memories.length);
  const statusCount = (status: Prediction["outcome"]["status"]): number =>
    answers.filter(({ prediction }) => prediction.outcome.status === status).length;
  const embedded = memories.flatMap(
    ({ embeddedTexts, embeddedWhileTold }) =>
      (reranks(arm) ? embeddedWhileTold : embeddedTexts) ?? [],
  );
  const storedOf = new Map(
    told.map((conversation) => [
      conversation.id,
      memoryOf(arm, conversation, evaluation)?.stored.length ?? 0,
    ]),
  );
  const reranked = answers
    .map(({ question }) =>
      Math.min(arm.rerank?.candidates ?? 0, storedOf.get(question.conversationId) ?? 0),
    )
    .filter((texts) => texts > 0);

  return {
    system: arm.system,
    arm: arm.variant,
    turns: sum(memories.map(({ turns }) => turns)),
    memoryCalls: memoryUsage.calls,
    memoryPromptTokens: memoryUsage.promptTokens,
    memoryCompletionTokens: memoryUsage.completionTokens,
    memoryUnparsable: unparsable,
    memoryUnparsableShare: memoryUsage.calls === 0 ? undefined : unparsable / memoryUsage.calls,
    questions: asked.length,
    questionCalls: questionUsage.calls,
    questionPromptTokens: questionUsage.promptTokens,
    questionCompletionTokens: questionUsage.completionTokens,
    unparsableAnswers: statusCount("unparsable"),
    failedAnswers: statusCount("failed"),
    answeredBy: answersItself ? "the system" : `${arm.answer} Answer Agent`,
    most: shownMemories(experiment, arm),
    retrieved: answersItself ? undefined : meanOf(shown),
    shown: meanOf(shown),
    shownMost: shown.length === 0 ? undefined : Math.max(...shown),
    contextTokens: meanOf(known.map((prediction) => tokens.ofText(contextText(prediction)))),
    stored: sum(memories.map(({ stored }) => stored.length)),
    storageBytes: sum(memories.map(({ stored }) => Buffer.byteLength(JSON.stringify(stored)))),
    embeddedTexts: embedded.length === 0 ? undefined : sum(embedded),
    ...(reranks(arm) ? { rerankCalls: reranked.length, rerankedTexts: sum(reranked) } : {}),
    ...whatWasSeen(read, told, asked),
  };
}

/** One call of the Answer Agent, whose prompt follows from what was shown. */
function readerUsage(
  question: Question,
  { memories, outcome }: Prediction,
  agent: Pick<AnswerAgent, "prompt">,
  tokens: FairnessOptions["tokens"],
): ModelUsage {
  if (outcome.status === "failed") return noUsage;
  const shown = memories.map(({ participant, ...memory }) =>
    participant === undefined ? memory : { ...memory, participant },
  );
  const messages = agent.prompt({ question: withoutGold(question), memories: shown });
  return { calls: 1, ...tokens.ofReply({ messages }, [outcome.raw]) };
}

function contextText({ memories }: Prediction): string {
  return memories.map(({ date, text }) => (date === "" ? text : `${date}: ${text}`)).join("\n");
}

/** Yes, no, or nothing where there was nothing to see. */
function whatWasSeen(
  read: ReadonlySet<string>,
  told: readonly Conversation[],
  asked: readonly Question[],
): Record<"facts" | "captions" | "dates" | "categories", string | undefined> {
  const sessions = told.flatMap((conversation) => conversation.sessions);
  const turns = sessions.flatMap((session) => session.turns);
  const facts = sessions.flatMap((session) => session.facts);
  const captions = turns.flatMap(({ imageCaption }) => imageCaption ?? []);
  const sawFacts = read.has("fact.text");
  // Where turns serve as facts, the captions are in them.
  const captionInFact =
    sawFacts && facts.some(({ text }) => captions.some((caption) => text.includes(caption)));
  const say = (isThere: boolean, isSeen: boolean): string | undefined =>
    isThere ? (isSeen ? "yes" : "no") : undefined;
  return {
    facts: say(facts.length > 0, sawFacts),
    captions: say(captions.length > 0, read.has("turn.imageCaption") || captionInFact),
    dates: say(
      sessions.length > 0,
      ["session.dateText", "session.dateTime", "question.dateText"].some((field) =>
        read.has(field),
      ),
    ),
    categories: say(asked.length > 0, read.has("question.category")),
  };
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

function meanOf(values: readonly number[]): number | undefined {
  return values.length === 0 ? undefined : sum(values) / values.length;
}
