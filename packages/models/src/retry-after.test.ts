import { describe, expect, it } from "vitest";
import { parseRetryAfter } from "./retry-after.ts";

// The dates are those of RFC 9110, sections 5.6.7 and 6.6.1, and 120 s after it.
const date = "Tue, 15 Nov 1994 08:12:31 GMT";

describe("parseRetryAfter", () => {
  it.each([
    ["120", 120_000],
    ["0", 0],
    [" 1.5 ", 1_500],
    ["Tue, 15 Nov 1994 08:14:31 GMT", 120_000],
    ["Tue, 15 Nov 1994 08:12:31 GMT", 0],
    ["Tue, 15 Nov 1994 08:12:30 GMT", 0],
  ])("reads %j", (value, waitMs) => {
    expect(parseRetryAfter(new Headers({ "retry-after": value, date }))).toBe(waitMs);
  });

  it.each(["soon", "-5", "", "1e9"])("knows nothing of %j", (value) => {
    expect(parseRetryAfter(new Headers({ "retry-after": value, date }))).toBeUndefined();
  });

  it("knows nothing without the header, or of a date without a date to measure it against", () => {
    expect(parseRetryAfter(new Headers({ date }))).toBeUndefined();
    expect(parseRetryAfter(new Headers({ "retry-after": date }))).toBeUndefined();
  });
});
