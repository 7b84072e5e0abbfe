/** Numbers of one task: how far, how fast, how long still. Holds no clock: times come in, in milliseconds. */
export interface ProgressMeter {
  readonly label: string;
  readonly total: number;
  add(amount: number, nowMs: number): void;
  completed(): number;
  /** 0 to 1; 1 where the total is 0. */
  fraction(): number;
  /** Whole tenths of the total that are done, 0 to 10. */
  tenths(): number;
  elapsedMs(nowMs: number): number;
  /** `3/24 (12 %), 0.21/s, 1 min 40 s left`, and the note if any. */
  describe(nowMs: number, note: string): string;
  /** `24/24 in 1 min 54 s`. */
  describeEnd(nowMs: number): string;
}

/** The rate is that of the latest advances: a warm-up or a burst from a cache at the start does not colour the rest. */
const windowLength = 30;

export function createProgressMeter(label: string, total: number, startMs: number): ProgressMeter {
  let completed = 0;
  const marks = [{ atMs: startMs, completed: 0 }];

  const ratePerSecond = (): number | undefined => {
    const first = marks[0];
    const last = marks.at(-1);
    if (first === undefined || last === undefined || last.atMs <= first.atMs) return undefined;
    return ((last.completed - first.completed) * 1000) / (last.atMs - first.atMs);
  };
  const fraction = (): number => (total > 0 ? Math.min(1, completed / total) : 1);

  return {
    label,
    total,
    add(amount, nowMs) {
      completed += amount;
      marks.push({ atMs: nowMs, completed });
      if (marks.length > windowLength) marks.shift();
    },
    completed: () => completed,
    fraction,
    // Multiplied before the division: 0.3 * 10 may fall below 3.
    tenths: () => (total > 0 ? Math.min(10, Math.floor((completed * 10) / total)) : 10),
    elapsedMs: (nowMs) => nowMs - startMs,
    describe(nowMs, note) {
      const parts = [
        `${formatAmount(completed)}/${formatAmount(total)} (${Math.floor(fraction() * 100)} %)`,
      ];
      const rate = ratePerSecond();
      if (rate !== undefined && rate > 0) {
        const sinceLastMs = nowMs - (marks.at(-1)?.atMs ?? nowMs);
        const leftMs = Math.max(0, ((total - completed) / rate) * 1000 - sinceLastMs);
        parts.push(formatRate(rate), `${formatDuration(leftMs)} left`);
      } else {
        parts.push(`${formatDuration(nowMs - startMs)} so far`);
      }
      if (note !== "") parts.push(note);
      return parts.join(", ");
    },
    describeEnd: (nowMs) =>
      `${formatAmount(completed)}/${formatAmount(total)} in ${formatDuration(nowMs - startMs)}`,
  };
}

/** `0.4 s`, `12 s`, `3 min 05 s`, `2 h 07 min`. */
export function formatDuration(durationMs: number): string {
  const seconds = durationMs / 1000;
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  const pad = (value: number): string => String(value).padStart(2, "0");
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${pad(whole % 60)} s`;
  return `${Math.floor(whole / 3600)} h ${pad(Math.floor((whole % 3600) / 60))} min`;
}

/** Slow work is told in seconds for one, fast work in units a second. */
function formatRate(perSecond: number): string {
  if (perSecond < 1) return `${formatDuration(1000 / perSecond)} each`;
  return `${perSecond < 10 ? perSecond.toFixed(1) : Math.round(perSecond).toLocaleString("en-US")}/s`;
}

function formatAmount(amount: number): string {
  return amount.toLocaleString("en-US", { maximumFractionDigits: 1 });
}
