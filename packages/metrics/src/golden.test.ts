import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parseJson } from "@memory-r1/spec";
import { describe, expect, it } from "vitest";
import { z } from "zod";
import {
  computeMultiAnswerF1,
  computeLocomoF1,
  computeStemmedF1,
  normaliseLocomoAnswer,
  tokeniseLocomoAnswer,
} from "./locomo-f1.ts";
import { computeMem0Bleu1, computeMem0F1, tokeniseSimply, tokeniseWords } from "./mem0.ts";
import { computePorterStem } from "./porter-stemmer.ts";
import {
  computeSquadEm,
  computeSquadSubEm,
  computeSquadF1,
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
});

describe.skipIf(isMissing)(`Mem0 F1 and BLEU-1 golden vectors${note}`, () => {
  const row = z.object({
    ...pair,
    f1: z.number(),
    bleu1_evals_py: z.number(),
    simple_tokens_pred: tokens,
    simple_tokens_gold: tokens,
    nltk_tokens_pred: tokens,
    nltk_tokens_gold: tokens,
  });
  const schema = z.object({
    single_sentence: z.array(row).min(9),
    multi_sentence_with_explicit_split: z.array(row.extend({ split: z.array(z.string()) })).min(1),
    word_tokenize_single_sentence: z.array(z.object({ in: z.string(), out: tokens })).min(12),
  });

  it("gives the script's tokens and scores on single sentences", () => {
    for (const one of readGolden("mem0_f1_bleu1.json", schema).single_sentence) {
      expect(tokeniseSimply(one.prediction)).toEqual(one.simple_tokens_pred);
      expect(tokeniseSimply(one.gold)).toEqual(one.simple_tokens_gold);
      expect(tokeniseWords(one.prediction)).toEqual(one.nltk_tokens_pred);
      expect(tokeniseWords(one.gold)).toEqual(one.nltk_tokens_gold);
      expect(computeMem0F1(one.prediction, one.gold)).toBeCloseTo(one.f1, 12);
      expect(computeMem0Bleu1(one.prediction, one.gold)).toBeCloseTo(one.bleu1_evals_py, 12);
    }
  });

  it("gives the script's scores on two sentences, with the given split and with its own", () => {
    for (const one of readGolden("mem0_f1_bleu1.json", schema).multi_sentence_with_explicit_split) {
      const givenSplit = (text: string): readonly string[] =>
        text === one.prediction.toLowerCase() ? one.split : [text];
      expect(tokeniseWords(one.prediction, givenSplit)).toEqual(one.nltk_tokens_pred);
      expect(tokeniseWords(one.prediction)).toEqual(one.nltk_tokens_pred);
      expect(computeMem0F1(one.prediction, one.gold)).toBeCloseTo(one.f1, 12);
      expect(computeMem0Bleu1(one.prediction, one.gold, givenSplit)).toBeCloseTo(
        one.bleu1_evals_py,
        12,
      );
      expect(computeMem0Bleu1(one.prediction, one.gold)).toBeCloseTo(one.bleu1_evals_py, 12);
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
  }
});
