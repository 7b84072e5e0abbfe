import { tokeniseSquadAnswer } from "./squad.ts";
import { countCommonTokens } from "./token-overlap.ts";

/** Share of a fact's words that a memory must hold to count as holding the fact. */
const survivalThreshold = 0.5;

/**
 * The turns that a bank still tells something of: those of facts of which at least one memory holds half of the words
 * (SQuAD normalisation, multiset). Unlike a memory's source turns, which a wrong UPDATE keeps, this sees a fact that
 * was overwritten. Give it to evidenceMissing as what the bank holds.
 * @param facts what an extraction step drew from the turns.
 * @param memoryTexts the texts of the bank's memories.
 */
export function computeHeldTurns(
  facts: Iterable<{ readonly text: string; readonly sourceTurnIds: readonly string[] }>,
  memoryTexts: Iterable<string>,
): ReadonlySet<string> {
  const memories = [...memoryTexts].map(tokeniseSquadAnswer);
  const held = new Set<string>();
  for (const fact of facts) {
    const words = tokeniseSquadAnswer(fact.text);
    if (!memories.some((memory) => wordRecall(words, memory) >= survivalThreshold)) continue;
    for (const turnId of fact.sourceTurnIds) held.add(turnId);
  }
  return held;
}

/** Share of `words` that `memory` has, 0 to 1; 0 for no words. */
function wordRecall(words: readonly string[], memory: readonly string[]): number {
  return words.length === 0 ? 0 : countCommonTokens(words, memory) / words.length;
}
