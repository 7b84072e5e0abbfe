/**
 * Share of the gold-evidence turns that no memory of the bank stems from ("m-fail"), 0 to 1. A turn that several
 * questions cite counts once. Undefined where no question has evidence.
 *
 * Turn ids are unique inside one conversation only: give one conversation's questions and its bank. A wrong UPDATE that
 * keeps its source turns is not seen by this number.
 * @param questionsEvidence evidence turn ids, one list per question.
 * @param bankSourceTurnIds the source turns of every memory in the bank.
 */
export function evidenceMissing(
  questionsEvidence: Iterable<readonly string[]>,
  bankSourceTurnIds: Iterable<string>,
): number | undefined {
  const cited = new Set([...questionsEvidence].flat());
  if (cited.size === 0) return undefined;
  const held = new Set(bankSourceTurnIds);
  const missing = [...cited].filter((turnId) => !held.has(turnId));
  return missing.length / cited.size;
}
