/**
 * Scores of what was retrieved for a question against its evidence. Ids are those of turns or of sessions; those of turns
 * are unique inside one conversation only.
 */

/** Something retrieved: the id of a turn or session, or of a memory the ids of all turns that it stems from. */
export type RetrievedItem = string | readonly string[];

function idsOf(item: RetrievedItem): readonly string[] {
  return typeof item === "string" ? [item] : item;
}

function holdsAny(item: RetrievedItem, ids: ReadonlySet<string>): boolean {
  return idsOf(item).some((id) => ids.has(id));
}

/** Share of the evidence ids that some retrieved item stems from; an id given twice counts once. Undefined without evidence. */
export function computeEvidenceRecall(
  retrieved: readonly RetrievedItem[],
  evidenceIds: readonly string[],
): number | undefined {
  const evidence = new Set(evidenceIds);
  if (evidence.size === 0) return undefined;
  const held = new Set(retrieved.flatMap(idsOf));
  let found = 0;
  for (const id of evidence) if (held.has(id)) found += 1;
  return found / evidence.size;
}

/** Share of the retrieved items that stem from evidence. Undefined without evidence, and where nothing was retrieved. */
export function computeEvidencePrecision(
  retrieved: readonly RetrievedItem[],
  evidenceIds: readonly string[],
): number | undefined {
  const evidence = new Set(evidenceIds);
  if (evidence.size === 0 || retrieved.length === 0) return undefined;
  return retrieved.filter((item) => holdsAny(item, evidence)).length / retrieved.length;
}

/**
 * LoCoMo's evidence recall: the mean over the evidence list, in which an id given twice counts twice. Where the first
 * retrieved id begins with `S`, sessions were retrieved (`S3`), and of the evidence `D3:11` only the session's number is
 * compared. Undefined without evidence, where the script gives 1; 0 where nothing was retrieved.
 * Source: snap-research/locomo task_eval/evaluation.py at cbfbc1d, `eval_question_answering`.
 */
export function computeLocomoRecall(
  retrievedIds: readonly string[],
  evidenceIds: readonly string[],
): number | undefined {
  if (evidenceIds.length === 0) return undefined;
  const areSessions = retrievedIds[0]?.startsWith("S") ?? false;
  const held = new Set(areSessions ? retrievedIds.map((id) => id.slice(1)) : retrievedIds);
  const found = evidenceIds.filter((id) =>
    held.has(areSessions ? (id.split(":")[0] ?? "").slice(1) : id),
  );
  return found.length / evidenceIds.length;
}

/** A ranking as LongMemEval scores it. */
export interface LongmemevalRanking {
  /** Best first. */
  readonly rankedIds: readonly string[];
  readonly evidenceIds: readonly string[];
  /** Everything that could be retrieved; an id stands there as often as it has documents. */
  readonly corpusIds: readonly string[];
  /** How many of the ranking count. */
  readonly k: number;
}

/** Each from 0 to 1. */
export interface LongmemevalRetrievalScore {
  /** Whether any evidence is among the first k. */
  readonly recallAny: number;
  /** Whether all of it is. */
  readonly recallAll: number;
  readonly ndcg: number;
}

/** Gain of relevant documents: the first two ranks count fully, rank i from there on 1 / log2(i). */
function computeGain(relevance: readonly boolean[]): number {
  let gain = 0;
  for (const [index, isRelevant] of relevance.entries()) {
    if (isRelevant) gain += index === 0 ? 1 : 1 / Math.log2(index + 1);
  }
  return gain;
}

/**
 * LongMemEval's retrieval scores of one question. Its ndcg is unusual: the gain at rank i is 1 / log2(i), not
 * 1 / log2(i + 1), and the ideal ranking is taken over the whole corpus. Without evidence, `recallAny` and `ndcg` are 0 and
 * `recallAll` is 1: leave such questions out, as LongMemEval does.
 * Source: xiaowu0162/LongMemEval src/retrieval/eval_utils.py at 9e0b455, `evaluate_retrieval`.
 */
export function computeLongmemevalRetrieval(
  ranking: LongmemevalRanking,
): LongmemevalRetrievalScore {
  const { rankedIds, evidenceIds, corpusIds, k } = ranking;
  const evidence = new Set(evidenceIds);
  const first = rankedIds.slice(0, k);
  const found = new Set(first);
  const relevantDocuments = corpusIds.filter((id) => evidence.has(id)).length;
  const ideal = computeGain(Array.from({ length: Math.min(relevantDocuments, k) }, () => true));
  return {
    recallAny: evidenceIds.some((id) => found.has(id)) ? 1 : 0,
    recallAll: evidenceIds.every((id) => found.has(id)) ? 1 : 0,
    ndcg: ideal === 0 ? 0 : computeGain(first.map((id) => evidence.has(id))) / ideal,
  };
}

/**
 * LongMemEval's ndcg of everything that was retrieved, for items that may stem from several turns. An item is relevant
 * where it holds evidence that no item before it held, so that two memories of one turn do not count twice; ideal is all
 * evidence first. Equals the source's ndcg at k for a corpus of different ids and k no less than the evidence ids.
 * Undefined without evidence. Source: as `computeLongmemevalRetrieval`.
 */
export function computeLongmemevalNdcg(
  retrieved: readonly RetrievedItem[],
  evidenceIds: readonly string[],
): number | undefined {
  const missing = new Set(evidenceIds);
  if (missing.size === 0) return undefined;
  const ideal = computeGain(Array.from({ length: missing.size }, () => true));
  const relevance = retrieved.map((item) => {
    const isRelevant = holdsAny(item, missing);
    for (const id of idsOf(item)) missing.delete(id);
    return isRelevant;
  });
  return computeGain(relevance) / ideal;
}

/** `answer_7_2` is the second turn of session `answer_7`. */
function sessionOfTurn(turnId: string): string {
  return turnId.slice(0, Math.max(0, turnId.lastIndexOf("_")));
}

/**
 * LongMemEval's session scores of a ranking of turns: ids lose their turn number, and k grows until the ranking's start
 * holds k different sessions (or the corpus ends). A session stands there once for each of its turns.
 * Source: as `computeLongmemevalRetrieval`, `evaluate_retrieval_turn2session`.
 */
export function computeLongmemevalTurnToSession(
  ranking: LongmemevalRanking,
): LongmemevalRetrievalScore {
  const rankedIds = ranking.rankedIds.map(sessionOfTurn);
  const corpusIds = ranking.corpusIds.map(sessionOfTurn);
  const sessions = new Set(rankedIds.slice(0, ranking.k));
  let { k } = ranking;
  while (k <= corpusIds.length && sessions.size < ranking.k) {
    const next = rankedIds[k];
    if (next !== undefined) sessions.add(next);
    k += 1;
  }
  const evidenceIds = [...new Set(ranking.evidenceIds.map(sessionOfTurn))];
  return computeLongmemevalRetrieval({ rankedIds, evidenceIds, corpusIds, k });
}
