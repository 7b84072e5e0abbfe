// CommonJS: Node finds no named exports in it.
import cliProgress, { type MultiBar } from "cli-progress";
import { createProgressMeter, type ProgressMeter } from "./progress-meter.ts";
import type { ProgressTask } from "./run-context.ts";

/** Everything that is written to stderr while a command works: tasks under way and the lines between them. */
export interface ProgressDisplay {
  startProgress(label: string, total: number): ProgressTask;
  /** Writes whole lines without tearing a bar. */
  log(line: string): void;
  /** Ends all tasks that are still open and gives the terminal back; nothing is drawn afterwards. */
  close(): void;
}

export interface ProgressOptions {
  readonly stream: NodeJS.WritableStream;
  readonly nowMs: () => number;
}

/** Work that is over sooner leaves no trace. */
const worthTellingMs = 2_000;
const lineEveryMs = 10_000;

/** Progress as plain lines, for logs and pipes: one every 10 seconds or 10 %, and one at the end. */
export function createLineProgress(options: ProgressOptions): ProgressDisplay {
  const { stream, nowMs } = options;
  const open = new Set<ProgressTask>();
  const log = (line: string): void => {
    stream.write(`${line}\n`);
  };

  const startProgress = (label: string, total: number): ProgressTask => {
    const meter = createProgressMeter(label, total, nowMs());
    let note = "";
    let printed = { atMs: nowMs(), tenths: 0 };
    const print = (): void => {
      log(`${label}: ${meter.describe(nowMs(), note)}`);
      printed = { atMs: nowMs(), tenths: meter.tenths() };
    };
    const timer = setInterval(() => {
      if (nowMs() - printed.atMs >= lineEveryMs) print();
    }, 1_000);
    timer.unref();
    const task: ProgressTask = {
      advance(by = 1) {
        if (!open.has(task)) return;
        meter.add(by, nowMs());
        const sincePrintedMs = nowMs() - printed.atMs;
        // Less than two seconds after a line the next one would only be noise.
        const isNews = meter.tenths() > printed.tenths && sincePrintedMs >= worthTellingMs;
        if ((isNews || sincePrintedMs >= lineEveryMs) && meter.tenths() < 10) print();
      },
      note(text) {
        note = text;
      },
      done() {
        if (!open.delete(task)) return;
        clearInterval(timer);
        logEnd(meter, note, nowMs(), log);
      },
    };
    open.add(task);
    return task;
  };

  return { startProgress, log, close: () => [...open].forEach((task) => task.done()) };
}

/** Progress as bars with rate and time left, one line for each task under way, for a terminal. */
export function createBarProgress(options: ProgressOptions): ProgressDisplay {
  const { stream, nowMs } = options;
  const open = new Map<ProgressTask, () => void>();
  let bars: MultiBar | undefined;

  const log = (line: string): void => {
    if (bars === undefined) {
      stream.write(`${line}\n`);
      return;
    }
    bars.log(`${line}\n`);
    bars.update();
  };

  const startProgress = (label: string, total: number): ProgressTask => {
    const meter = createProgressMeter(label, total, nowMs());
    let note = "";
    bars ??= new cliProgress.MultiBar({
      stream,
      fps: 5,
      clearOnComplete: true,
      hideCursor: true,
      forceRedraw: true,
      // Signals are the command line's business (interrupts.ts).
      gracefulExit: false,
      barsize: 12,
      barCompleteChar: "█",
      barIncompleteChar: "░",
      // A line that is too long is cut off by the terminal: a wrapped one would not be hit when redrawn.
      linewrap: false,
      format: (
        barOptions,
        _params,
        payload: { describe(drawBar: (fraction: number) => string): string },
      ) => payload.describe((fraction) => cliProgress.Format.BarFormat(fraction, barOptions)),
    });
    const describe = (drawBar: (fraction: number) => string): string =>
      `${label} ${drawBar(meter.fraction())} ${meter.describe(nowMs(), note)}`;
    const bar = bars.create(total, 0, { describe });
    const task: ProgressTask = {
      advance(by = 1) {
        if (!open.has(task)) return;
        meter.add(by, nowMs());
        bar.update(Math.min(meter.completed(), total));
      },
      note(text) {
        note = text;
      },
      done() {
        const remove = open.get(task);
        if (remove === undefined) return;
        open.delete(task);
        remove();
        logEnd(meter, note, nowMs(), log);
      },
    };
    open.set(task, () => {
      if (open.size > 0) {
        bars?.remove(bar);
        return;
      }
      bars?.stop();
      bars = undefined;
    });
    return task;
  };

  return { startProgress, log, close: () => [...open.keys()].forEach((task) => task.done()) };
}

function logEnd(
  meter: ProgressMeter,
  note: string,
  nowMs: number,
  log: (line: string) => void,
): void {
  if (meter.elapsedMs(nowMs) < worthTellingMs) return;
  log(`${meter.label}: ${meter.describeEnd(nowMs)}${note === "" ? "" : `, ${note}`}`);
}
