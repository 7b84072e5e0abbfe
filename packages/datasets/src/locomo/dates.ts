const months = [
  "January",
  "February",
  "March",
  "April",
  "May",
  "June",
  "July",
  "August",
  "September",
  "October",
  "November",
  "December",
];

/**
 * A LoCoMo session date, `1:56 pm on 8 May, 2023`, as local date-time `2023-05-08T13:56`. No time zone is known, and
 * none is invented. Undefined where the text has another form or names no real date.
 */
export function parseLocomoDate(text: string): string | undefined {
  const match = /^(\d{1,2}):(\d{2}) (am|pm) on (\d{1,2}) ([A-Z][a-z]+), (\d{4})$/.exec(text);
  if (match === null) return undefined;
  const [, hourText, minuteText, half, dayText, monthName = "", yearText] = match;
  const [clockHour, minute, day, year] = [
    Number(hourText),
    Number(minuteText),
    Number(dayText),
    Number(yearText),
  ];
  const month = months.indexOf(monthName);
  if (clockHour < 1 || clockHour > 12 || minute > 59 || month < 0) return undefined;
  const hour = (clockHour % 12) + (half === "pm" ? 12 : 0);
  const date = new Date(Date.UTC(year, month, day, hour, minute));
  // Date.UTC rolls 31 April over to 1 May.
  if (date.getUTCDate() !== day) return undefined;
  return date.toISOString().slice(0, 16);
}
