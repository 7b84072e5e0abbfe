/** The one form of a date that servers may still write (RFC 9110, section 5.6.7); `Date.parse` takes "-5" for a month. */
const httpDate = /^[A-Z][a-z]{2}, \d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} GMT$/;

/**
 * How long a server wants to be left alone, in milliseconds from its answer on: `Retry-After` in seconds or as an HTTP
 * date (RFC 9110, section 10.2.3). A date is measured against the answer's own `Date`, so that no clock of this machine
 * is asked. Undefined: it does not say, or in no form that is known; a date in the past is 0.
 */
export function parseRetryAfter(headers: Headers): number | undefined {
  const value = headers.get("retry-after")?.trim();
  if (value === undefined) return undefined;
  if (/^\d+(?:\.\d+)?$/.test(value)) return Number(value) * 1000;
  if (!httpDate.test(value)) return undefined;
  const waitMs = Date.parse(value) - Date.parse(headers.get("date") ?? "");
  return Number.isNaN(waitMs) ? undefined : Math.max(0, waitMs);
}
