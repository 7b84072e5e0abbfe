/** What stands where there is no value (an en dash). */
export const missingCell = "–";

/** A score in 0..1, or a difference of scores, with three decimals. Minus zero is written as zero. */
export function formatScore(value: number | undefined): string {
  if (value === undefined) return missingCell;
  const text = value.toFixed(3);
  return text === "-0.000" ? "0.000" : text;
}

/** A whole number with a comma between thousands. A number with a fraction keeps up to three decimals. */
export function formatCount(value: number | undefined): string {
  return value === undefined ? missingCell : value.toLocaleString("en-US");
}

/** Both ends of an interval; one missing end means that there is no interval. */
export function formatInterval(low: number | undefined, high: number | undefined): string {
  if (low === undefined || high === undefined) return missingCell;
  return `${formatScore(low)} to ${formatScore(high)}`;
}
