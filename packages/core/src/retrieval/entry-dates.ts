import type { ToldSession } from "@memory-r1/spec";
import type { Retrievable } from "./retriever.ts";

/**
 * The local date-time `YYYY-MM-DDTHH:MM` of a date text as sessions carry it; undefined where it is not known, and then
 * never guessed.
 */
export type ReadDateTime = (dateText: string) => string | undefined;

/** Reads what is written as `YYYY-MM-DD` (its first minute) or `YYYY-MM-DDTHH:MM`, and is a day of the calendar. */
export const readIsoDateTime: ReadDateTime = (dateText) => {
  const [, day, time = "00:00"] =
    /^(\d{4}-\d{2}-\d{2})(?:T((?:[01]\d|2[0-3]):[0-5]\d))?$/.exec(dateText.trim()) ?? [];
  if (day === undefined) return undefined;
  const dateTime = `${day}T${time}`;
  return minutesOf(dateTime) === undefined ? undefined : dateTime;
};

/**
 * Knows the date texts of these sessions by the `dateTime` that their data set parsed, and ISO texts. Two sessions that write
 * the same text of different times leave it unknown.
 */
export function createDateReader(
  sessions: Iterable<Pick<ToldSession, "dateText" | "dateTime">>,
): ReadDateTime {
  const known = new Map<string, string | undefined>();
  for (const { dateText, dateTime } of sessions) {
    if (dateTime === undefined) continue;
    const isContradicted = known.has(dateText) && known.get(dateText) !== dateTime;
    known.set(dateText, isContradicted ? undefined : dateTime);
  }
  return (dateText) => (known.has(dateText) ? known.get(dateText) : readIsoDateTime(dateText));
}

/** When an item was last true: a memory's last change, a context item's date. */
export function readItemDateTime(item: Retrievable, read: ReadDateTime): string | undefined {
  const dateText = item.updatedAt ?? item.date;
  return dateText === undefined ? undefined : read(dateText);
}

/** Minutes since 1970 as if the local time were UTC, which only differences are taken of; undefined for no such day. */
export function minutesOf(dateTime: string): number | undefined {
  const milliseconds = Date.parse(`${dateTime}:00.000Z`);
  if (Number.isNaN(milliseconds)) return undefined;
  // Date.parse takes 31 February for 3 March.
  const isOfCalendar = new Date(milliseconds).toISOString().startsWith(dateTime);
  return isOfCalendar ? milliseconds / 60_000 : undefined;
}
