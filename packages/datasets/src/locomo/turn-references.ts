/** Turn ids that a list of references names, and what had to be read with care. */
export interface TurnReferences {
  /** Existing turns in the order named, each once. */
  readonly turnIds: readonly string[];
  /** One line for each reference that was repaired, dropped or repeated. */
  readonly notes: readonly string[];
}

/** `D3:11`; also zero-padded `D03:11` and, with a colon too many, `D:3:11`. */
const referenceForm = /^D:?(\d+):(\d+)$/;

/**
 * Reads turn references as LoCoMo's evidence and observations write them: one id per string, or several divided by
 * `;`, `,` or spaces. Zero padding and `D:11:26` are repaired where the repaired id exists; whatever names no turn of
 * the conversation is dropped. Each such case is a note.
 */
export function parseTurnReferences(
  texts: readonly string[],
  knownTurnIds: { has(turnId: string): boolean },
): TurnReferences {
  const turnIds = new Set<string>();
  const notes: string[] = [];
  for (const text of texts) {
    // Nearly all references are a single id as it should be.
    if (knownTurnIds.has(text) && !turnIds.has(text)) {
      turnIds.add(text);
      continue;
    }
    const parts = text.split(/[;,\s]+/).filter((part) => part !== "");
    if (parts.length === 0) notes.push(`reference "${text}" is empty: dropped`);
    if (parts.length > 1) notes.push(`reference "${text}" read as ${parts.length} turns`);
    for (const part of parts) {
      const match = referenceForm.exec(part);
      if (match === null) {
        notes.push(`reference "${part}" is malformed: dropped`);
        continue;
      }
      const turnId = `D${Number(match[1])}:${Number(match[2])}`;
      if (!knownTurnIds.has(turnId)) {
        notes.push(`reference "${part}" names no turn: dropped`);
        continue;
      }
      if (turnId !== part) notes.push(`reference "${part}" read as ${turnId}`);
      if (turnIds.has(turnId)) notes.push(`reference "${part}" is there twice: kept once`);
      turnIds.add(turnId);
    }
  }
  return { turnIds: [...turnIds], notes };
}
