import { type BleuOrder, computeBleu, tokeniseWords } from "./bleu.ts";
import { trimWhitespace, whitespaceClass } from "./python-text.ts";
import { computeSetF1 } from "./token-overlap.ts";

const simpleWords = new RegExp(`[^.,!?${whitespaceClass}]+`, "g");

/** Lower case, each of `. , ! ?` a space; every other mark stays on its word. */
export function tokeniseSimply(text: string): string[] {
  return text.toLowerCase().match(simpleWords) ?? [];
}

/**
 * Mem0's F1: of the two token sets, so that a repeated word counts once; no stemming, articles stay. 0 where a side is
 * empty. Source: mem0ai/mem0 evaluation/metrics/utils.py at 9315e303~1 (which A-Mem and Memory-R1 share).
 */
export function computeMem0F1(prediction: string, gold: string): number {
  return computeSetF1(tokeniseSimply(prediction), tokeniseSimply(gold));
}

/** Mem0's exact match: equal but for case and white space at the ends, as 1 or 0; 0 where a side is empty. Source: as `computeMem0F1`. */
export function computeMem0Em(prediction: string, gold: string): number {
  if (prediction === "" || gold === "") return 0;
  return trimWhitespace(prediction).toLowerCase() === trimWhitespace(gold).toLowerCase() ? 1 : 0;
}

/** The script's weights: three times 0.33 is not quite 1. */
const weightsByOrder: Readonly<Record<BleuOrder, readonly number[]>> = {
  1: [1],
  2: [0.5, 0.5],
  3: [0.33, 0.33, 0.33],
  4: [0.25, 0.25, 0.25, 0.25],
};

/**
 * Mem0's and A-Mem's BLEU-N: `computeBleu` with method-1 smoothing. The smoothing cannot change BLEU-1: where no word is
 * shared the score is 0 before it. Source: as `computeMem0F1`, `calculate_bleu_scores`.
 */
export function computeMem0Bleu(prediction: string, gold: string, order: BleuOrder): number {
  return computeBleu(
    tokeniseWords(prediction),
    tokeniseWords(gold),
    weightsByOrder[order],
    "method-1",
  );
}
