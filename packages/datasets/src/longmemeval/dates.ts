/** Sunday first, as Date counts them. */
const weekdays = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];

/** What a date of the file says. */
export interface LongMemEvalDate {
  /** Local date-time `YYYY-MM-DDTHH:MM`; no zone is known, and none is invented. */
  readonly dateTime: string;
  /** The weekday that the day really is, where the text names another one. */
  readonly actualWeekday?: string;
}

/**
 * A date of LongMemEval, `2023/05/30 (Tue) 21:56`. Undefined where the text has another form or names no real date.
 */
export function parseLongMemEvalDate(text: string): LongMemEvalDate | undefined {
  const match = /^(\d{4})\/(\d{2})\/(\d{2}) \(([A-Z][a-z]{2})\) (\d{2}):(\d{2})$/.exec(text);
  if (match === null) return undefined;
  const [, yearText, monthText, dayText, weekday = "", hourText, minuteText] = match;
  const [year, month, day, hour, minute] = [
    Number(yearText),
    Number(monthText),
    Number(dayText),
    Number(hourText),
    Number(minuteText),
  ];
  if (!weekdays.includes(weekday) || month < 1 || hour > 23 || minute > 59) return undefined;
  // Date.UTC takes the years 0 to 99 for 1900 to 1999.
  if (year < 100) return undefined;
  const date = new Date(Date.UTC(year, month - 1, day, hour, minute));
  // Date.UTC rolls 31 April over to 1 May, and month 13 to the next January.
  if (date.getUTCDate() !== day || date.getUTCMonth() !== month - 1) return undefined;
  const dateTime = date.toISOString().slice(0, 16);
  const actualWeekday = weekdays[date.getUTCDay()] ?? "";
  return weekday === actualWeekday ? { dateTime } : { dateTime, actualWeekday };
}
