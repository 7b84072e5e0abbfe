/** What decides whether pages join a segment. */
export interface InsertionInput {
  /** Cosine of the summary of the pages and that of the segment. */
  readonly similarity: number;
  readonly pageKeywords: Iterable<string>;
  readonly segmentKeywords: Iterable<string>;
}

/**
 * similarity + (|a and b| / |a| + |a and b| / |b|) / 2, where a and b are the two sets of keywords; without keywords on
 * one side their part is 0. From -1 to 2. Source: MemoryOS, arXiv 2506.06326, section 3.2, as its LoCoMo evaluation
 * computes it.
 */
export function computeInsertionScore(input: InsertionInput): number {
  const pages = new Set(input.pageKeywords);
  const segment = new Set(input.segmentKeywords);
  const shared = [...pages].filter((keyword) => segment.has(keyword)).length;
  if (shared === 0) return input.similarity;
  return input.similarity + 0.5 * (shared / pages.size + shared / segment.size);
}

/** What makes a segment hot. */
export interface HeatInput {
  /** How often it was retrieved since it was last analysed. */
  readonly visits: number;
  /** Pages that joined it since it was last analysed. */
  readonly interactions: number;
  /** Hours since something joined it or was retrieved from it; 0 where dates are not known. */
  readonly hoursSinceUse: number;
}

/**
 * 0.8 visits + 0.8 interactions + 0.0001 recency, with recency = exp(-hours / 24), 1 for a date that is yet to come.
 * Source: MemoryOS, arXiv 2506.06326, section 3.2; weights and the 24 hours of its LoCoMo evaluation.
 */
export function computeHeat({ visits, interactions, hoursSinceUse }: HeatInput): number {
  return 0.8 * visits + 0.8 * interactions + 0.0001 * Math.exp(-Math.max(0, hoursSinceUse) / 24);
}

/**
 * Hours from one local date-time (`YYYY-MM-DDTHH:MM`) to another; negative where the second is the earlier one. 0 where
 * one of them is not known.
 */
export function computeHoursBetween(from: string | undefined, to: string | undefined): number {
  if (from === undefined || to === undefined) return 0;
  // Both are read in the same zone, so that the machine's own does not matter.
  const milliseconds = Date.parse(`${to}Z`) - Date.parse(`${from}Z`);
  return Number.isNaN(milliseconds) ? 0 : milliseconds / 3_600_000;
}

/** Cosine of two vectors of one dimension and unit length. */
export function computeSimilarity(left: Float32Array, right: Float32Array): number {
  return left.reduce((sum, value, index) => sum + value * (right[index] ?? 0), 0);
}
