import type { ToldSession } from "@memory-r1/spec";

/** What mem0ai takes for the time, in milliseconds since 1970, local time taken as UTC. */
export interface SessionClock {
  /**
   * The time of the next `add`: the session's own, and a millisecond later for every one that follows, because the package
   * tells by it which messages were the last. A session whose day is before that of the one before is told on its day.
   * @param start undefined where the session's date is not known: the clock goes on
   */
  next(start: number | undefined): number;
}

export function createSessionClock(): SessionClock {
  let now = 0;
  return {
    next: (start) => {
      const later = now + 1;
      now = start === undefined || (later > start && dayOf(later) === dayOf(start)) ? later : start;
      return now;
    },
  };
}

/** When a session begins; undefined where its date is free text without a time that the data set could read. */
export function startOf({ dateTime, dateText }: ToldSession): number | undefined {
  const day = /^\d{4}-\d{2}-\d{2}$/.test(dateText) ? `${dateText}T00:00` : undefined;
  const start = Date.parse(`${dateTime ?? day ?? ""}Z`);
  return Number.isNaN(start) ? undefined : start;
}

function dayOf(milliseconds: number): number {
  return Math.floor(milliseconds / 86_400_000);
}
