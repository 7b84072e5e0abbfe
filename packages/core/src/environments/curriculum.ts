import { ConfigError, type ObservedValidation } from "@memory-r1/spec";

/** Episodes that grow longer once the Manager keeps what it is told. */
export interface CurriculumOptions {
  /** Sessions of an episode, level by level. Memory-R2: 8, 16, 32. */
  readonly sessions: readonly number[];
  /** A level is left once a validation misses less than this share of the evidence, 0 to 1. Memory-R2: 0.1. */
  readonly maxEvidenceMissing: number;
}

/** The metric of a validation that the gate reads. */
export const evidenceMissingMetric = "evidenceMissing";

/** Where a run stands. It is a function of the validations alone: a resumed run hears those of its log again. */
export interface Curriculum {
  /** Sessions of an episode now. */
  sessions(): number;
  observe(validation: ObservedValidation): void;
}

/**
 * A curriculum by number of sessions with a health gate. One validation opens at most one level, and only after training
 * at the level before: the validation of the untrained Manager opens none, nor does one without evidence to miss. No
 * level is given up again: a Manager that collapses is rolled back by the validation's verdict.
 *
 * Source: Memory-R2 (arXiv 2605.21768): 8, 16, 32 sessions; trained on 32 from the start, more than 0.7 of the evidence
 * went missing, with the curriculum less than 0.07 (README at 357b4ec). The gate is how its checkpoints were promoted.
 * @throws ConfigError for levels that do not grow
 */
export function createCurriculum({ sessions, maxEvidenceMissing }: CurriculumOptions): Curriculum {
  const [first] = sessions;
  const grows = sessions.every((count, level) => level === 0 || count > (sessions[level - 1] ?? 0));
  if (first === undefined || first < 1 || !grows) {
    throw new ConfigError(
      `a curriculum of ${JSON.stringify(sessions)} sessions: write numbers from 1 on, each larger than the one before, such as [1, 2, 4].`,
    );
  }
  let level = 0;
  let trainedSince = 0;
  return {
    sessions: () => sessions[level] ?? first,
    observe: ({ step, metrics }) => {
      const missing = metrics[evidenceMissingMetric];
      if (level === sessions.length - 1 || step <= trainedSince) return;
      if (missing === undefined || missing >= maxEvidenceMissing) return;
      level += 1;
      trainedSince = step;
    },
  };
}
