import { createAnswerTokeniser, wordClass } from "./python-text.ts";
import { computeMultisetF1 } from "./token-overlap.ts";

/** Words of an answer after SQuAD normalisation: lower case, no ASCII punctuation, no a/an/the. */
export const tokeniseSquadAnswer = createAnswerTokeniser(["a", "an", "the"], wordClass);

/** SQuAD v1.1 answer normalisation: `tokeniseSquadAnswer` with single spaces between. Source: SQuAD evaluate-v1.1.py. */
export function normaliseSquadAnswer(text: string): string {
  return tokeniseSquadAnswer(text).join(" ");
}

/** Whether the normalised texts are equal, as 1 or 0. Two texts that normalise to nothing are equal. */
export function computeSquadEm(prediction: string, gold: string): number {
  return normaliseSquadAnswer(prediction) === normaliseSquadAnswer(gold) ? 1 : 0;
}

/**
 * Whether the normalised prediction contains the normalised gold anywhere, as 1 or 0. A long answer can only gain, and a
 * gold that normalises to nothing is in every answer. Source: Search-R1's `subem_check` (in verl, search_r1_like_qa_em.py).
 */
export function computeSquadSubEm(prediction: string, gold: string): number {
  return normaliseSquadAnswer(prediction).includes(normaliseSquadAnswer(gold)) ? 1 : 0;
}

/** F1 of the token multisets after SQuAD normalisation, no stemming; 0 where nothing is shared (v1.1, not v2.0). */
export function computeSquadF1(prediction: string, gold: string): number {
  return computeMultisetF1(tokeniseSquadAnswer(prediction), tokeniseSquadAnswer(gold));
}

/** As `computeSquadF1`, but 1 where both sides normalise to nothing. Source: SQuAD evaluate-v2.0.py. */
export function computeSquad2F1(prediction: string, gold: string): number {
  const predicted = tokeniseSquadAnswer(prediction);
  const expected = tokeniseSquadAnswer(gold);
  if (predicted.length === 0 && expected.length === 0) return 1;
  return computeMultisetF1(predicted, expected);
}
