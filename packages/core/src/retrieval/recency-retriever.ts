import { ConfigError } from "@memory-r1/spec";
import { minutesOf, readIsoDateTime, readItemDateTime, type ReadDateTime } from "./entry-dates.ts";
import { type Match, type MatchingRetriever, createMatchingRetriever } from "./retriever.ts";

export interface RecencyOptions {
  readonly readDateTime?: ReadDateTime;
  /** After how many days the weight of a memory's date has halved. Above 0. */
  readonly halfLifeDays?: number;
  /** What being of today counts beside being the most relevant, which counts 1. 0 or more. */
  readonly weight?: number;
  /** How many of the most relevant items take part, at least. */
  readonly depth?: number;
}

const minutesPerDay = 24 * 60;

/**
 * Weighs dates beside relevance: relevance + weight × 0.5^(age / half-life), where relevance is the other retriever's score
 * scaled to 0..1 over the items that take part (all alike: 1), and age is that behind the latest known date of all
 * items. An item without a known date gets nothing for it, as if it were very old; where no date is known, the order
 * is the other retriever's. Ties keep the order of relevance.
 * Source: the retrieval function of Park et al., "Generative Agents", UIST 2023, without importance; departs: a
 * half-life in days for 0.995 an hour, and the latest memory for the present, because there is no clock here.
 * @throws ConfigError for an option out of range.
 */
export function createRecencyRetriever(
  relevance: MatchingRetriever,
  {
    readDateTime = readIsoDateTime,
    halfLifeDays = 30,
    weight = 0.5,
    depth = 100,
  }: RecencyOptions = {},
): MatchingRetriever {
  const settings = { halfLifeDays, weight, depth };
  if (!(halfLifeDays > 0 && weight >= 0 && Number.isFinite(weight) && depth >= 1)) {
    throw new ConfigError(
      `recency retriever: ${JSON.stringify(settings)}. halfLifeDays must be above 0, weight 0 or more, depth 1 or more.`,
    );
  }
  return createMatchingRetriever(`${relevance.name}-recency`, async (query, items, count) => {
    const matches = await relevance.match(query, items, Math.max(count, depth));
    const minutes = items.map((item) => {
      const dateTime = readItemDateTime(item, readDateTime);
      return dateTime === undefined ? undefined : minutesOf(dateTime);
    });
    const latest = minutes.reduce<number>(
      (found, value) => Math.max(found, value ?? found),
      Number.NEGATIVE_INFINITY,
    );
    const recencyOf = (position: number): number => {
      const value = minutes[position];
      return value === undefined ? 0 : 0.5 ** ((latest - value) / minutesPerDay / halfLifeDays);
    };
    return scaled(matches)
      .map(({ position, score }) => ({ position, score: score + weight * recencyOf(position) }))
      .toSorted((left, right) => right.score - left.score)
      .slice(0, count);
  });
}

/** Scores between 0 (the last match) and 1 (the first). */
function scaled(matches: readonly Match[]): readonly Match[] {
  const best = matches[0]?.score ?? 0;
  const range = best - (matches.at(-1)?.score ?? 0);
  return matches.map(({ position, score }) => ({
    position,
    score: range === 0 ? 1 : 1 - (best - score) / range,
  }));
}
