/** A date as a person wrote it: its date-time, none (free text, or a day alone), or what is wrong with it. */
export type OwnDate =
  | { readonly status: "read"; readonly dateTime?: string }
  | { readonly status: "faulty"; readonly problem: string; readonly fix: string };

const form =
  "write local time as 2024-05-01 or 2024-05-01T18:30, or free text that does not begin with a number of four digits and a dash";

/**
 * Reads `2024-05-01`, `2024-05-01T18:30` and `2024-05-01 18:30:00` as local time; a day alone has no time, and none is
 * invented. What begins like a date in this form must be one. Any other text is kept as text.
 */
export function parseOwnDate(text: string): OwnDate {
  if (!/^\s*\d{4}-/.test(text)) return { status: "read" };
  const match = /^(\d{4}-\d{2}-\d{2})(?:[T ](\d{2}:\d{2})(?::\d{2})?(.*))?$/.exec(text);
  if (match === null) return { status: "faulty", problem: "is no date", fix: form };
  const [, day = "", time, rest = ""] = match;
  if (rest !== "") {
    return {
      status: "faulty",
      problem: `has "${rest}" after the time`,
      fix: "write local time without zone and fractions of a second",
    };
  }
  const dateTime = `${day}T${time ?? "00:00"}`;
  const date = new Date(`${dateTime}Z`);
  // 31 April would become 1 May.
  if (Number.isNaN(date.getTime()) || date.toISOString().slice(0, 16) !== dateTime) {
    return { status: "faulty", problem: "names no real day or time", fix: form };
  }
  return time === undefined ? { status: "read" } : { status: "read", dateTime };
}
