/**
 * The date of the last session of a row: the times of the others (`5 days 1 hour ago`) count back from it, and no calendar date is
 * known of any.
 */
export const currentSessionDateText = "now";

const hoursOfUnit: Readonly<Record<string, number>> = { hour: 1, day: 24, week: 168 };

function unitHours(unit: string): number | undefined {
  return hoursOfUnit[unit.replace(/s$/, "")];
}

/** Hours of a gap such as 3 `days`; undefined for units of no fixed length. */
export function gapHours(gap: {
  readonly time_num: number;
  readonly time_unit: string;
}): number | undefined {
  const hours = unitHours(gap.time_unit);
  return hours === undefined ? undefined : hours * gap.time_num;
}

/** Hours of a text such as `5 days 1 hour ago`; undefined where it has another form. */
export function parseTimeBack(text: string): number | undefined {
  const match = /^\s*((?:\d+ [a-z]+ )+)ago$/.exec(text);
  if (match === null) return undefined;
  const parts = [...(match[1] ?? "").matchAll(/(\d+) ([a-z]+) /g)].map(
    ([, count, unit = ""]) => Number(count) * (unitHours(unit) ?? Number.NaN),
  );
  const hours = parts.reduce((sum, part) => sum + part, 0);
  return Number.isNaN(hours) ? undefined : hours;
}
