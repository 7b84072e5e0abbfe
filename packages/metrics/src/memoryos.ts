import { wordClass } from "./python-text.ts";
import { computeSetF1 } from "./token-overlap.ts";

const words = new RegExp(`[${wordClass}]+`, "gu");

/** Lower-cased runs of letters, digits and `_` of any script: Python's `\b\w+\b`. A contraction is two words. */
export function tokeniseMemoryosAnswer(text: string): string[] {
  return text.toLowerCase().match(words) ?? [];
}

/**
 * MemoryOS's F1: of the two token sets, no stemming, articles stay. 0 where a side is empty.
 * Source: BAI-LAB/MemoryOS eval/evalution_loco.py at 1d71706.
 */
export function computeMemoryosF1(prediction: string, gold: string): number {
  return computeSetF1(tokeniseMemoryosAnswer(prediction), tokeniseMemoryosAnswer(gold));
}
