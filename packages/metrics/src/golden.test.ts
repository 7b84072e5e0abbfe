import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parseJson } from "@memory-r1/spec";
import { describe, expect, it } from "vitest";
import { z } from "zod";
import { tokeniseWords } from "./bleu.ts";
import {
  computeLocomoF1,
  computeLocomoSetEm,
  computeMultiAnswerF1,
  computeStemmedF1,
  normaliseLocomoAnswer,
  tokeniseLocomoAnswer,
} from "./locomo.ts";
import { computeMem0Bleu, computeMem0Em, computeMem0F1, tokeniseSimply } from "./mem0.ts";
import { computeMemoryosF1, tokeniseMemoryosAnswer } from "./memoryos.ts";
import { computePorterStem } from "./porter-stemmer.ts";
import {
  computeLocomoRecall,
  computeLongmemevalRetrieval,
  computeLongmemevalTurnToSession,
} from "./retrieval.ts";
import { computeRouge, tokeniseForRouge } from "./rouge.ts";
import { splitSentences } from "./sentence-splitter.ts";
import {
  computeSquad2F1,
  computeSquadEm,
  computeSquadF1,
  computeSquadSubEm,
  normaliseSquadAnswer,
} from "./squad.ts";
import { tokeniseSentence } from "./word-tokenizer.ts";

// Vectors that the official scripts and NLTK 3.8 computed. They lie beside the repository, not in it.
const goldenDirectory = fileURLToPath(
  new URL("../../../../shared/golden/metrics/", import.meta.url),
);
const isMissing = !existsSync(goldenDirectory);
const note = isMissing ? " (skipped: no ../shared/golden beside the repository)" : "";

function readGolden<T>(name: string, schema: z.ZodType<T>): T {
  const file = `${goldenDirectory}${name}`;
  return parseJson(readFileSync(file, "utf8"), schema, file);
}

const pair = { prediction: z.string(), gold: z.string() };
const tokens = z.array(z.string());

describe.skipIf(isMissing)(`official LoCoMo F1 golden vectors${note}`, () => {
  const schema = z.object({
    normalize_answer: z.array(z.object({ in: z.string(), out: z.string() })).min(7),
    f1_score: z
      .array(z.object({ ...pair, f1: z.number(), pred_tokens: tokens, gold_tokens: tokens }))
      .min(9),
    f1_multi_answer_cat1: z.array(z.object({ ...pair, f1: z.number() })).min(7),
    eval_question_answering: z
      .array(
        z.object({
          category: z.number(),
          prediction: z.string(),
          answer: z.string(),
          score: z.number(),
        }),
      )
      .min(7),
    exact_match_set: z.array(z.object({ ...pair, em: z.boolean() })).min(3),
    recall_acc: z.array(z.object({ evidence: tokens, context: tokens, recall: z.number() })).min(3),
  });

  it("normalises as the script", () => {
    for (const row of readGolden("locomo_official_f1.json", schema).normalize_answer) {
      expect(normaliseLocomoAnswer(row.in)).toBe(row.out);
    }
  });

  it("gives the script's tokens and F1", () => {
    for (const row of readGolden("locomo_official_f1.json", schema).f1_score) {
      expect(tokeniseLocomoAnswer(row.prediction)).toEqual(row.pred_tokens);
      expect(tokeniseLocomoAnswer(row.gold)).toEqual(row.gold_tokens);
      expect(computeStemmedF1(row.prediction, row.gold)).toBe(row.f1);
    }
  });

  it("gives the script's multi-answer F1", () => {
    for (const row of readGolden("locomo_official_f1.json", schema).f1_multi_answer_cat1) {
      expect(computeMultiAnswerF1(row.prediction, row.gold)).toBe(row.f1);
    }
  });

  it("applies the script's category rules", () => {
    for (const row of readGolden("locomo_official_f1.json", schema).eval_question_answering) {
      expect(computeLocomoF1(row.prediction, row.answer, String(row.category))).toBe(row.score);
    }
  });

  it("gives the script's equality of sets", () => {
    for (const row of readGolden("locomo_official_f1.json", schema).exact_match_set) {
      expect(computeLocomoSetEm(row.prediction, row.gold)).toBe(row.em ? 1 : 0);
    }
  });

  it("gives the script's evidence recall, and no value where the script gives 1 for no evidence", () => {
    const rows = readGolden("locomo_official_f1.json", schema).recall_acc;
    expect(rows.map(({ context, evidence }) => computeLocomoRecall(context, evidence))).toEqual(
      rows.map(({ evidence, recall }) => (evidence.length === 0 ? undefined : recall)),
    );
    expect(rows.find(({ evidence }) => evidence.length === 0)?.recall).toBe(1);
  });
});

describe.skipIf(isMissing)(`Mem0 F1 and BLEU golden vectors${note}`, () => {
  const row = z.object({
    ...pair,
    f1: z.number(),
    exact_match: z.number(),
    bleu1_evals_py: z.number(),
    bleu2: z.number(),
    bleu3: z.number(),
    bleu4: z.number(),
    simple_tokens_pred: tokens,
    simple_tokens_gold: tokens,
    nltk_tokens_pred: tokens,
    nltk_tokens_gold: tokens,
  });
  const schema = z.object({
    single_sentence: z.array(row).min(9),
    multi_sentence_with_explicit_split: z.array(row.extend({ split: tokens })).min(1),
    word_tokenize_single_sentence: z.array(z.object({ in: z.string(), out: tokens })).min(12),
  });

  it("gives the script's tokens and scores", () => {
    const golden = readGolden("mem0_f1_bleu1.json", schema);
    for (const one of [...golden.single_sentence, ...golden.multi_sentence_with_explicit_split]) {
      expect(tokeniseSimply(one.prediction)).toEqual(one.simple_tokens_pred);
      expect(tokeniseSimply(one.gold)).toEqual(one.simple_tokens_gold);
      expect(tokeniseWords(one.prediction)).toEqual(one.nltk_tokens_pred);
      expect(tokeniseWords(one.gold)).toEqual(one.nltk_tokens_gold);
      expect(computeMem0F1(one.prediction, one.gold)).toBeCloseTo(one.f1, 12);
      expect(computeMem0Em(one.prediction, one.gold)).toBe(one.exact_match);
      expect(computeMem0Bleu(one.prediction, one.gold, 1)).toBeCloseTo(one.bleu1_evals_py, 12);
      expect(computeMem0Bleu(one.prediction, one.gold, 2)).toBeCloseTo(one.bleu2, 12);
      expect(computeMem0Bleu(one.prediction, one.gold, 3)).toBeCloseTo(one.bleu3, 12);
      expect(computeMem0Bleu(one.prediction, one.gold, 4)).toBeCloseTo(one.bleu4, 12);
    }
  });

  it("cuts two sentences as the vector was cut", () => {
    for (const one of readGolden("mem0_f1_bleu1.json", schema).multi_sentence_with_explicit_split) {
      expect(splitSentences(one.prediction.toLowerCase())).toEqual(one.split);
    }
  });

  it("tokenises sentences as NLTK", () => {
    for (const one of readGolden("mem0_f1_bleu1.json", schema).word_tokenize_single_sentence) {
      expect(tokeniseSentence(one.in)).toEqual(one.out);
    }
  });
});

it.skipIf(isMissing)(`stems as NLTK's default Porter stemmer${note}`, () => {
  const schema = z.object({
    stems: z.array(z.object({ word: z.string(), stem: z.string() })).min(97),
  });
  for (const { word, stem } of readGolden("porter_stemmer_nltk.json", schema).stems) {
    expect(computePorterStem(word), word).toBe(stem);
  }
});

it.skipIf(isMissing)(`SQuAD normalisation, exact match and F1 golden vectors${note}`, () => {
  const row = z.object({
    ...pair,
    norm_pred: z.string(),
    norm_gold: z.string(),
    em: z.number(),
    subem: z.number(),
    "f1_v1.1": z.number(),
    "f1_v2.0": z.number(),
  });
  for (const one of readGolden("squad_em.json", z.object({ cases: z.array(row).min(7) })).cases) {
    expect(normaliseSquadAnswer(one.prediction)).toBe(one.norm_pred);
    expect(normaliseSquadAnswer(one.gold)).toBe(one.norm_gold);
    expect(computeSquadEm(one.prediction, one.gold), one.prediction).toBe(one.em);
    expect(computeSquadSubEm(one.prediction, one.gold), one.prediction).toBe(one.subem);
    expect(computeSquadF1(one.prediction, one.gold), one.prediction).toBeCloseTo(
      one["f1_v1.1"],
      12,
    );
    expect(computeSquad2F1(one.prediction, one.gold), one.prediction).toBeCloseTo(
      one["f1_v2.0"],
      12,
    );
  }
});

it.skipIf(isMissing)(`MemoryOS F1 golden vectors${note}`, () => {
  const schema = z.object({
    cases: z.array(z.object({ ...pair, f1: z.number(), tokens_pred: tokens })).min(9),
  });
  for (const one of readGolden("memoryos_f1.json", schema).cases) {
    expect(tokeniseMemoryosAnswer(one.prediction)).toEqual(one.tokens_pred);
    expect(computeMemoryosF1(one.prediction, one.gold)).toBeCloseTo(one.f1, 12);
  }
});

it.skipIf(isMissing)(`ROUGE-L golden vectors${note}`, () => {
  const score = z.object({ p: z.number(), r: z.number(), f: z.number() });
  const schema = z.object({
    cases: z
      .array(
        z.object({ ...pair, nostem: score, stem: score, tokens_pred: tokens, tokens_gold: tokens }),
      )
      .min(7),
  });
  for (const one of readGolden("rouge_l.json", schema).cases) {
    expect(tokeniseForRouge(one.prediction, false)).toEqual(one.tokens_pred);
    expect(tokeniseForRouge(one.gold, false)).toEqual(one.tokens_gold);
    for (const [isStemmed, expected] of [
      [false, one.nostem],
      [true, one.stem],
    ] as const) {
      const found = computeRouge(one.prediction, one.gold, "l", { isStemmed });
      expect(found.precision).toBeCloseTo(expected.p, 12);
      expect(found.recall).toBeCloseTo(expected.r, 12);
      expect(found.f1).toBeCloseTo(expected.f, 12);
    }
  }
});

describe.skipIf(isMissing)(`LongMemEval retrieval golden vectors${note}`, () => {
  const row = z.object({
    name: z.string(),
    rankings: z.array(z.number()),
    correct_docs: tokens,
    corpus_ids: tokens,
    k: z.number(),
    recall_any: z.number(),
    recall_all: z.number(),
    ndcg_any: z.number(),
  });
  const schema = z.object({
    session_or_turn: z.array(row).min(6),
    turn2session: z.array(row).min(3),
  });

  const toRanking = ({ rankings, correct_docs, corpus_ids, k }: z.infer<typeof row>) => ({
    rankedIds: rankings.map((position) => corpus_ids[position] ?? ""),
    evidenceIds: correct_docs,
    corpusIds: corpus_ids,
    k,
  });

  it.each(["session_or_turn", "turn2session"] as const)("scores %s as the script", (unit) => {
    const compute =
      unit === "turn2session" ? computeLongmemevalTurnToSession : computeLongmemevalRetrieval;
    for (const one of readGolden("longmemeval_retrieval.json", schema)[unit]) {
      const found = compute(toRanking(one));
      expect(found.recallAny, one.name).toBe(one.recall_any);
      expect(found.recallAll, one.name).toBe(one.recall_all);
      expect(found.ndcg, one.name).toBeCloseTo(one.ndcg_any, 12);
    }
  });
});
