import { ConfigError } from "@memory-r1/spec";
import { readIsoDateTime, readItemDateTime, type ReadDateTime } from "./entry-dates.ts";
import type { Retrievable } from "./retriever.ts";

/** A span of local time; each bound is `YYYY-MM-DD` (its first minute) or `YYYY-MM-DDTHH:MM`. */
export interface TimeFilter {
  /** This moment and later. */
  readonly from?: string;
  /** Earlier than this moment. */
  readonly before?: string;
  /** What becomes of items whose date is not known: they cannot be said to lie outside, so they are kept unless told. */
  readonly undated?: "keep" | "drop";
}

/**
 * The items that were last changed in the span, in order: to be ranked afterwards, so that a question gets as many as
 * without a filter.
 * @throws ConfigError for a bound that is no date, or a span that ends before it begins.
 */
export function filterByTime<Item extends Retrievable>(
  items: readonly Item[],
  filter: TimeFilter,
  readDateTime: ReadDateTime = readIsoDateTime,
): readonly Item[] {
  const from = requireBound("from", filter.from);
  const before = requireBound("before", filter.before);
  if (from !== undefined && before !== undefined && from > before) {
    throw new ConfigError(
      `time filter: "from" (${from}) is later than "before" (${before}). Swap the two.`,
    );
  }
  return items.filter((item) => {
    const dateTime = readItemDateTime(item, readDateTime);
    if (dateTime === undefined) return filter.undated !== "drop";
    // Of one form and one length: their order is that of time.
    return (from === undefined || dateTime >= from) && (before === undefined || dateTime < before);
  });
}

function requireBound(name: string, text: string | undefined): string | undefined {
  if (text === undefined) return undefined;
  const bound = readIsoDateTime(text);
  if (bound !== undefined) return bound;
  throw new ConfigError(
    `time filter: "${name}" is "${text}". Write a day such as 2023-05-08, or a minute such as 2023-05-08T13:56.`,
  );
}
