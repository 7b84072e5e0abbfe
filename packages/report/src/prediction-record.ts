import { DataFormatError, type Outcome, ungraded } from "@memory-r1/spec";

/** One question answered by one arm of one system under one seed, scored by every metric. */
export interface PredictionRecord {
  readonly system: string;
  /** A variation of the system that the table keeps apart, such as `top 8` or `oracle evidence`; may be empty. */
  readonly arm: string;
  readonly questionId: string;
  /** Questions of one conversation depend on each other: see MetricSummary's `macro`. */
  readonly conversationId: string;
  /** The seed of the run that made the answer; absent where there is but one run. */
  readonly seed?: number;
  /** The data set's own code. */
  readonly categoryCode: string;
  /** The category's name under every naming scheme (LoCoMo: `official`, `mem0`, `memorybench`). */
  readonly categoryNames: Readonly<Record<string, string>>;
  /** Whether the question's gold answer is known to be wrong (`hasCorruptGold`); absent: it is not. */
  readonly hasCorruptGold?: boolean;
  /** Metric name to outcome. A metric that is absent counts as ungraded. */
  readonly outcomes: Readonly<Record<string, Outcome>>;
}

/** Which predictions of a list: one arm of one system. */
export interface ArmName {
  readonly system: string;
  readonly arm: string;
}

/** Equal for records of one arm alone. */
export function armKey({ system, arm }: ArmName): string {
  return JSON.stringify([system, arm]);
}

/** The outcome of one metric, ungraded where it was not computed. */
export function outcomeOf(record: PredictionRecord, metric: string): Outcome {
  return record.outcomes[metric] ?? notComputed;
}

const notComputed = ungraded("metric not computed");

/** Groups in the order of their first member. */
export function groupBy<T, K>(items: Iterable<T>, keyOf: (item: T) => K): Map<K, T[]> {
  const groups = new Map<K, T[]>();
  for (const item of items) {
    const group = groups.get(keyOf(item));
    if (group === undefined) groups.set(keyOf(item), [item]);
    else group.push(item);
  }
  return groups;
}

/**
 * @throws DataFormatError where a question stands twice in one arm under one seed, has two conversations, a score is
 * not finite, or one category code has two names.
 */
export function checkRecords(records: readonly PredictionRecord[]): void {
  const seen = new Set<string>();
  const namesOfCode = new Map<string, string>();
  const conversationOf = new Map<string, string>();
  const fail = (path: string, problem: string, fix: string): never => {
    throw new DataFormatError({ source: "predictions", path, problem, fix });
  };
  for (const record of records) {
    const path = `${record.system}/${record.arm}/${record.questionId}`;
    const key = JSON.stringify([record.system, record.arm, record.questionId, record.seed ?? null]);
    if (seen.has(key)) {
      fail(
        path,
        "this question is answered twice",
        "keep one answer for each question of an arm and seed",
      );
    }
    seen.add(key);
    const conversation = conversationOf.get(record.questionId) ?? record.conversationId;
    if (conversation !== record.conversationId) {
      fail(
        path,
        `the question is of conversation ${record.conversationId} here and of ${conversation} before`,
        "give every question of a data set its own id",
      );
    }
    conversationOf.set(record.questionId, conversation);
    const names = JSON.stringify(
      Object.entries(record.categoryNames).sort(([one], [other]) => one.localeCompare(other)),
    );
    const known = namesOfCode.get(record.categoryCode) ?? names;
    if (known !== names) {
      fail(
        path,
        `category ${record.categoryCode} is ${names} here and ${known} before`,
        "take both from one data set",
      );
    }
    namesOfCode.set(record.categoryCode, names);
    for (const [metric, outcome] of Object.entries(record.outcomes)) {
      if (outcome.status === "graded" && !Number.isFinite(outcome.score)) {
        fail(
          `${path}/${metric}`,
          `the score is ${outcome.score}`,
          "a metric must be finite for every text",
        );
      }
    }
  }
}
