import { graded, ungraded, type Outcome, type Question } from "@memory-r1/spec";
import { type BleuOrder, computePlainBleu, tokeniseWords } from "./bleu.ts";
import {
  adversarialCategoryCode,
  computeLocomoF1,
  computeLocomoSetEm,
  tokeniseLocomoAnswer,
} from "./locomo.ts";
import { computeMem0Bleu, computeMem0Em, computeMem0F1, tokeniseSimply } from "./mem0.ts";
import { computeMemoryosF1, tokeniseMemoryosAnswer } from "./memoryos.ts";
import { computeRouge, type RougeKind, tokeniseForRouge } from "./rouge.ts";
import {
  computeSquad2F1,
  computeSquadEm,
  computeSquadF1,
  computeSquadSubEm,
  tokeniseSquadAnswer,
} from "./squad.ts";
import type { OverlapScore } from "./token-overlap.ts";

/** What a prediction is compared with. `categoryCode` is the data set's own code, for metrics with category rules. */
export interface MetricReference {
  readonly gold: string;
  readonly categoryCode?: string;
}

/** One definition of how an answer is scored. */
export interface AnswerMetric {
  /** Scores one prediction from 0 to 1. Pure, defined for every text, the empty one included. */
  readonly score: (prediction: string, reference: MetricReference) => number;
  /** One line for a list. */
  readonly description: string;
  /** Where the definition stands, with its revision. */
  readonly source: string;
  /** Whether gold holds anything that this definition could find in an answer; absent: every gold does. */
  readonly hasComparable?: (gold: string) => boolean;
  /** Whether questions of a category are scored without gold; absent: none is. */
  readonly ignoresGold?: (categoryCode: string) => boolean;
}

const sources = {
  locomo: "snap-research/locomo task_eval/evaluation.py at cbfbc1d",
  mem0: "mem0ai/mem0 evaluation/metrics/utils.py at 9315e303~1 (taken from A-Mem)",
  bleu: "Papineni et al. 2002, words of NLTK 3.9.2's word_tokenize",
  memoryos: "BAI-LAB/MemoryOS eval/evalution_loco.py at 1d71706",
  squad: "SQuAD evaluate-v1.1.py",
  rouge: "rouge_score 0.1.2 (google-research)",
} as const;

/** For a metric that compares words, or runs of words: a gold without one has no score, whatever was answered. */
function wordsBy(
  tokenise: (gold: string) => readonly string[],
  fewest = 1,
): (gold: string) => boolean {
  return (gold) => tokenise(gold).length >= fewest;
}

function mem0Bleu(order: BleuOrder): AnswerMetric {
  return {
    score: (prediction, { gold }) => computeMem0Bleu(prediction, gold, order),
    description: `BLEU-${order} of NLTK words with method-1 smoothing`,
    source: sources.mem0,
    hasComparable: wordsBy(tokeniseWords),
  };
}

function plainBleu(order: BleuOrder): AnswerMetric {
  return {
    score: (prediction, { gold }) => computePlainBleu(prediction, gold, order),
    description: `BLEU-${order} of NLTK words without smoothing`,
    source: sources.bleu,
    hasComparable: wordsBy(tokeniseWords, order),
  };
}

function rouge(
  kind: RougeKind,
  part: keyof OverlapScore,
  { isStemmed }: { readonly isStemmed: boolean },
): AnswerMetric {
  return {
    score: (prediction, { gold }) => computeRouge(prediction, gold, kind, { isStemmed })[part],
    description: `ROUGE-${kind.toUpperCase()} ${part === "f1" ? "F1" : part} of ${isStemmed ? "Porter stems" : "words"}`,
    source: sources.rouge,
    hasComparable: wordsBy((gold) => tokeniseForRouge(gold, false), kind === "2" ? 2 : 1),
  };
}

const plain = { isStemmed: false } as const;
const stemmed = { isStemmed: true } as const;

/**
 * Every answer metric by name. A name begins with its source: four F1 scores are in use for the same tables, and they
 * differ (docs/metrics.md sets them side by side).
 */
export const metrics = {
  "locomo-f1": {
    score: (prediction, { gold, categoryCode }) => computeLocomoF1(prediction, gold, categoryCode),
    description: "official LoCoMo score: F1 of Porter stems, with a rule for each category",
    source: sources.locomo,
    hasComparable: wordsBy(tokeniseLocomoAnswer),
    ignoresGold: (categoryCode) => categoryCode === adversarialCategoryCode,
  },
  "locomo-set-em": {
    score: (prediction, { gold }) => computeLocomoSetEm(prediction, gold),
    description: "equal sets of words after LoCoMo's normalisation",
    source: sources.locomo,
  },
  "mem0-f1": {
    score: (prediction, { gold }) => computeMem0F1(prediction, gold),
    description: "F1 of sets of words; the F1 of the Memory-R1, Mem0 and A-Mem papers",
    source: sources.mem0,
    hasComparable: wordsBy(tokeniseSimply),
  },
  "mem0-em": {
    score: (prediction, { gold }) => computeMem0Em(prediction, gold),
    description: "equality but for case and outer white space",
    source: sources.mem0,
  },
  "mem0-bleu1": mem0Bleu(1),
  "mem0-bleu2": mem0Bleu(2),
  "mem0-bleu3": mem0Bleu(3),
  "mem0-bleu4": mem0Bleu(4),
  "plain-bleu1": plainBleu(1),
  "plain-bleu2": plainBleu(2),
  "plain-bleu3": plainBleu(3),
  "plain-bleu4": plainBleu(4),
  "memoryos-f1": {
    score: (prediction, { gold }) => computeMemoryosF1(prediction, gold),
    description: "F1 of sets of runs of letters and digits",
    source: sources.memoryos,
    hasComparable: wordsBy(tokeniseMemoryosAnswer),
  },
  "squad-em": {
    score: (prediction, { gold }) => computeSquadEm(prediction, gold),
    description: "equality after SQuAD's normalisation; the reward of the Memory-R1 paper",
    source: sources.squad,
  },
  "squad-sub-em": {
    score: (prediction, { gold }) => computeSquadSubEm(prediction, gold),
    description: "gold contained in the answer, after SQuAD's normalisation",
    source: "Search-R1, in verl utils/reward_score/search_r1_like_qa_em.py",
    hasComparable: wordsBy(tokeniseSquadAnswer),
  },
  "squad-f1": {
    score: (prediction, { gold }) => computeSquadF1(prediction, gold),
    description: "F1 of words after SQuAD's normalisation; the graded reward for small models",
    source: sources.squad,
    hasComparable: wordsBy(tokeniseSquadAnswer),
  },
  "squad2-f1": {
    score: (prediction, { gold }) => computeSquad2F1(prediction, gold),
    description: "as squad-f1, and 1 where neither side has a word left",
    source: "SQuAD evaluate-v2.0.py",
  },
  "rouge-1-precision": rouge("1", "precision", plain),
  "rouge-1-recall": rouge("1", "recall", plain),
  "rouge-1-f1": rouge("1", "f1", plain),
  "rouge-1-precision-stemmed": rouge("1", "precision", stemmed),
  "rouge-1-recall-stemmed": rouge("1", "recall", stemmed),
  "rouge-1-f1-stemmed": rouge("1", "f1", stemmed),
  "rouge-2-precision": rouge("2", "precision", plain),
  "rouge-2-recall": rouge("2", "recall", plain),
  "rouge-2-f1": rouge("2", "f1", plain),
  "rouge-2-precision-stemmed": rouge("2", "precision", stemmed),
  "rouge-2-recall-stemmed": rouge("2", "recall", stemmed),
  "rouge-2-f1-stemmed": rouge("2", "f1", stemmed),
  "rouge-l-precision": rouge("l", "precision", plain),
  "rouge-l-recall": rouge("l", "recall", plain),
  "rouge-l-f1": rouge("l", "f1", plain),
  "rouge-l-precision-stemmed": rouge("l", "precision", stemmed),
  "rouge-l-recall-stemmed": rouge("l", "recall", stemmed),
  "rouge-l-f1-stemmed": rouge("l", "f1", stemmed),
} as const satisfies Readonly<Record<string, AnswerMetric>>;

export type MetricName = keyof typeof metrics;

/** Type guard for names that come from a command line or a file. */
export function isMetricName(name: string): name is MetricName {
  return Object.hasOwn(metrics, name);
}

/**
 * Scores the answer to a question. Ungraded, whatever was answered: a question without gold, unless the metric scores its
 * category without one, and a question whose gold holds nothing that the metric could find, which the official scripts
 * count as 0 (or, containment, as 1).
 */
export function scoreAnswer(
  name: MetricName,
  prediction: string,
  question: Pick<Question, "gold" | "category">,
): Outcome {
  const metric: AnswerMetric = metrics[name];
  const categoryCode = question.category.code;
  if (metric.ignoresGold?.(categoryCode) === true) {
    return graded(metric.score(prediction, { gold: question.gold ?? "", categoryCode }));
  }
  const { gold } = question;
  if (gold === undefined) return ungraded("no gold answer");
  if (metric.hasComparable?.(gold) === false) {
    return ungraded(`the gold answer holds nothing that ${name} compares`);
  }
  return graded(metric.score(prediction, { gold, categoryCode }));
}
