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
  facts: Iterable<SourcedText>,
  memoryTexts: Iterable<string>,
): ReadonlySet<string> {
  return createHeldTurns(facts)(memoryTexts);
}

/** A text with the turns that it was drawn from. */
export interface SourcedText {
  readonly text: string;
  readonly sourceTurnIds: readonly string[];
}

/**
 * `computeHeldTurns` for many memories over the same facts, such as a bank at many points in time and what was shown of
 * it: each different text is compared once.
 */
export function createHeldTurns(
  facts: Iterable<SourcedText>,
): (memoryTexts: Iterable<string>) => ReadonlySet<string> {
  const known = [...facts].map(({ text, sourceTurnIds }) => ({
    words: tokeniseSquadAnswer(text),
    sourceTurnIds,
  }));
  const heldBy = new Map<string, readonly string[]>();
  const turnsHeldBy = (text: string): readonly string[] => {
    const memory = tokeniseSquadAnswer(text);
    return known
      .filter(({ words }) => wordRecall(words, memory) >= survivalThreshold)
      .flatMap(({ sourceTurnIds }) => sourceTurnIds);
  };
  return (memoryTexts) => {
    const held = new Set<string>();
    for (const text of memoryTexts) {
      const turns = heldBy.get(text) ?? turnsHeldBy(text);
      heldBy.set(text, turns);
      for (const turnId of turns) held.add(turnId);
    }
    return held;
  };
}

/** Share of `words` that `memory` has, 0 to 1; 0 for no words. */
function wordRecall(words: readonly string[], memory: readonly string[]): number {
  return words.length === 0 ? 0 : countCommonTokens(words, memory) / words.length;
}
