import { createHeldTurns } from "@memory-r1/metrics";
import type { TableData } from "@memory-r1/report";
import type { Conversation, Question } from "@memory-r1/spec";
import {
  type Arm,
  type EvaluatedSplit,
  evaluatedSplits,
  type Experiment,
} from "../../experiment.ts";
import type { Prediction } from "../answer-questions.ts";
import type { Evaluation } from "../evaluate-arms.ts";
import { splitColumn } from "../score-predictions.ts";
import { memoryName, memoryOf, readingArms } from "./arm-memory.ts";
import type { PlayedMemory } from "./play-systems.ts";

type EvidenceSource = Pick<
  Evaluation,
  "questions" | "predictions" | "banks" | "systems" | "conversations"
>;

/** Counts over turns and questions; shares are made of them when all conversations are added up. */
interface EvidenceCounts {
  /** Different evidence turns that have a word to be found by. */
  readonly turns: number;
  readonly kept: number;
  readonly overwritten: number;
  readonly deleted: number;
  readonly neverStored: number;
  readonly claimed: number;
  /** Earlier evidence of questions about a fact that changed, and how much of it is still there unchanged. */
  readonly superseded: number;
  readonly stale: number;
  /** Questions with evidence whose prompt is known. */
  readonly questions: number;
  readonly shown: number;
  readonly bankMisses: number;
  readonly retrievalMisses: number;
}

/**
 * What became of the data set's gold evidence in each arm's memory, operation by operation and question by question.
 * Pure. A turn is held by a text that has half of the words of the turn or of a fact drawn from it (createHeldTurns).
 */
export function evidenceTable(experiment: Experiment, evaluation: EvidenceSource): TableData {
  const asked = evaluatedSplits.flatMap((split) => evaluation.questions[split]);
  const heldTurnsOf = new Map(
    evaluation.conversations.map((conversation) => {
      const ofConversation = asked.filter(
        ({ conversationId }) => conversationId === conversation.id,
      );
      return [conversation.id, heldTurns(conversation, ofConversation)];
    }),
  );
  const rows = readingArms(experiment.evaluation.arms).flatMap((arm) =>
    evaluatedSplits.flatMap((split) => {
      const counts = arm.splits.includes(split)
        ? countArm(arm, split, evaluation, heldTurnsOf)
        : undefined;
      return counts === undefined
        ? []
        : [
            {
              split,
              system: arm.system,
              arm: arm.variant,
              memory: memoryName(arm),
              turns: counts.turns,
              kept: share(counts.kept, counts.turns),
              overwritten: share(counts.overwritten, counts.turns),
              deleted: share(counts.deleted, counts.turns),
              neverStored: share(counts.neverStored, counts.turns),
              claimed: share(counts.claimed, counts.turns),
              superseded: counts.superseded,
              stale: share(counts.stale, counts.superseded),
              questions: counts.questions,
              shown: share(counts.shown, counts.questions),
              retrievalMisses: share(counts.retrievalMisses, counts.questions),
              bankMisses: share(counts.bankMisses, counts.questions),
            },
          ];
    }),
  );
  const score = (key: string, label: string) => ({ key, label, kind: "score" as const });
  const count = (key: string, label: string) => ({ key, label, kind: "count" as const });
  return {
    title: "What became of the gold evidence",
    columns: [
      splitColumn,
      { key: "system", label: "System", kind: "text" },
      { key: "arm", label: "Arm", kind: "text" },
      { key: "memory", label: "Memory", kind: "text" },
      count("turns", "Evidence turns"),
      score("kept", "Kept"),
      score("overwritten", "Lost, overwritten"),
      score("deleted", "Lost, deleted"),
      score("neverStored", "Never stored"),
      score("claimed", "Kept by source alone"),
      count("superseded", "Superseded turns"),
      score("stale", "Stale, kept"),
      count("questions", "Questions"),
      score("shown", "All evidence shown"),
      score("retrievalMisses", "Retrieval misses"),
      score("bankMisses", "Bank misses"),
    ],
    rows,
    notes: [
      "Kept: share of the different gold-evidence turns of which some memory holds half of the words, as said or as an extracted fact. " +
        "Lost: held after an earlier turn and no more; overwritten where some memory still names the turn as its source, deleted where none does.",
      "By source alone: share of turns that some memory names, whatever it says now.",
      "Stale: share of the earlier evidence of questions about a fact that changed (as the data set says; LoCoMo does not) that a memory holds which stems from no later evidence of the question.",
      "Bank miss: some evidence of the question is in no memory. Retrieval miss: all of it is, and not all was shown.",
    ],
  };
}

function countArm(
  arm: Arm,
  split: EvaluatedSplit,
  evaluation: EvidenceSource,
  heldTurnsOf: ReadonlyMap<string, HeldTurns>,
): EvidenceCounts | undefined {
  const predictions = new Map(
    (evaluation.predictions.get(arm.name) ?? []).map((one) => [one.questionId, one]),
  );
  let sum: EvidenceCounts | undefined;
  for (const conversation of evaluation.conversations) {
    const questions = evaluation.questions[split].filter(
      ({ conversationId }) => conversationId === conversation.id,
    );
    const memory = memoryOf(arm, conversation, evaluation);
    const held = heldTurnsOf.get(conversation.id);
    if (questions.length === 0 || memory === undefined || held === undefined) continue;
    const counts = countConversation({ conversation, questions, memory, held, predictions });
    sum = sum === undefined ? counts : addCounts(sum, counts);
  }
  return sum;
}

/** What texts hold of a conversation's turns, and which of its turns can be held at all. */
interface HeldTurns {
  readonly by: (texts: Iterable<string>) => ReadonlySet<string>;
  readonly measurable: ReadonlySet<string>;
}

function heldTurns({ sessions }: Conversation, questions: readonly Question[]): HeldTurns {
  const cited = new Set(questions.flatMap(({ evidenceTurnIds }) => evidenceTurnIds));
  const all = sessions.flatMap(({ turns, facts }) => [
    ...facts,
    // Without the speaker: of a short turn, a name would be half of the words.
    ...turns.map(({ id, text, imageCaption = "" }) => ({
      text: `${text} ${imageCaption}`,
      sourceTurnIds: [id],
    })),
  ]);
  // Nothing else is asked about, and every text is compared with every form.
  const forms = all.filter(({ sourceTurnIds }) => sourceTurnIds.some((id) => cited.has(id)));
  const by = createHeldTurns(forms);
  // What does not even hold itself has no words.
  return { by, measurable: by(forms.map(({ text }) => text)) };
}

function countConversation({
  conversation,
  questions,
  memory,
  held,
  predictions,
}: {
  readonly conversation: Conversation;
  readonly questions: readonly Question[];
  readonly memory: PlayedMemory;
  readonly held: HeldTurns;
  readonly predictions: ReadonlyMap<string, Prediction>;
}): EvidenceCounts {
  const evidenceOf = ({ evidenceTurnIds }: Question): readonly string[] =>
    evidenceTurnIds.filter((id) => held.measurable.has(id));
  const cited = new Set(questions.flatMap(evidenceOf));
  const kept = held.by(memory.stored.map(({ text }) => text));
  const ever = held.by(memory.everStored);
  const claimed = new Set(memory.stored.flatMap(({ sourceTurnIds }) => sourceTurnIds));
  const countCited = (isSo: (turnId: string) => boolean): number => [...cited].filter(isSo).length;
  const isLost = (id: string): boolean => !kept.has(id) && ever.has(id);

  const superseded = supersededTurns(conversation, questions);
  const stale = [...superseded].filter(([turnId, later]) =>
    memory.stored.some(
      ({ text, sourceTurnIds }) =>
        sourceTurnIds.includes(turnId) &&
        !sourceTurnIds.some((id) => later.has(id)) &&
        held.by([text]).has(turnId),
    ),
  );

  let [asked, shown, bankMisses, retrievalMisses] = [0, 0, 0, 0];
  for (const question of questions) {
    const evidence = evidenceOf(question);
    const prediction = predictions.get(question.id);
    const isUnknown =
      prediction === undefined ||
      (prediction.outcome.status === "failed" && prediction.memories.length === 0);
    if (evidence.length === 0 || isUnknown) continue;
    asked += 1;
    const inPrompt = held.by(prediction.memories.map(({ text }) => text));
    if (evidence.every((id) => inPrompt.has(id))) shown += 1;
    else if (evidence.every((id) => kept.has(id))) retrievalMisses += 1;
    else bankMisses += 1;
  }
  return {
    turns: cited.size,
    kept: countCited((id) => kept.has(id)),
    overwritten: countCited((id) => isLost(id) && claimed.has(id)),
    deleted: countCited((id) => isLost(id) && !claimed.has(id)),
    neverStored: countCited((id) => !kept.has(id) && !ever.has(id)),
    claimed: countCited((id) => claimed.has(id)),
    superseded: superseded.size,
    stale: stale.length,
    questions: asked,
    shown,
    bankMisses,
    retrievalMisses,
  };
}

/** Evidence turns that a later evidence session of their question supersedes, each with that session's evidence. */
function supersededTurns(
  { sessions }: Conversation,
  questions: readonly Question[],
): ReadonlyMap<string, ReadonlySet<string>> {
  const superseded = new Map<string, ReadonlySet<string>>();
  for (const { category, evidenceTurnIds } of questions) {
    if (category.isUpdate !== true) continue;
    const bySession = sessions
      .map(({ turns }) => turns.map(({ id }) => id).filter((id) => evidenceTurnIds.includes(id)))
      .filter((ids) => ids.length > 0);
    const later = new Set(bySession.at(-1));
    for (const id of bySession.slice(0, -1).flat()) superseded.set(id, later);
  }
  return superseded;
}

function addCounts(one: EvidenceCounts, other: EvidenceCounts): EvidenceCounts {
  return {
    turns: one.turns + other.turns,
    kept: one.kept + other.kept,
    overwritten: one.overwritten + other.overwritten,
    deleted: one.deleted + other.deleted,
    neverStored: one.neverStored + other.neverStored,
    claimed: one.claimed + other.claimed,
    superseded: one.superseded + other.superseded,
    stale: one.stale + other.stale,
    questions: one.questions + other.questions,
    shown: one.shown + other.shown,
    bankMisses: one.bankMisses + other.bankMisses,
    retrievalMisses: one.retrievalMisses + other.retrievalMisses,
  };
}

function share(part: number, whole: number): number | undefined {
  return whole === 0 ? undefined : part / whole;
}
