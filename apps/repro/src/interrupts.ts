import { HarnessError } from "@memory-r1/spec";

/** Ctrl-C, a request to end, and the terminal's window closed. */
export type InterruptSignal = "SIGINT" | "SIGTERM" | "SIGHUP";

/** The reason of the aborted signal: the user ended the run. */
export class InterruptedError extends HarnessError {
  constructor(signal: InterruptSignal) {
    super("interrupted", `interrupted by ${signal}`);
  }
}

/** The conventional exit code of a process ended by the signal: 128 + its number. */
export const interruptExitCodes: Readonly<Record<InterruptSignal, number>> = {
  SIGINT: 130,
  SIGTERM: 143,
  SIGHUP: 129,
};
const interruptSignals = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/** The part of `process` that is needed here. */
export interface SignalSource {
  on(event: InterruptSignal, listener: (signal: InterruptSignal) => void): unknown;
  off(event: InterruptSignal, listener: (signal: InterruptSignal) => void): unknown;
}

export interface Interrupts {
  /** Aborts at the first signal with an InterruptedError as its reason. */
  readonly signal: AbortSignal;
  /** The signal that came first; undefined while none has come. */
  received(): InterruptSignal | undefined;
  /** Stops listening; signals have their default effect again. */
  dispose(): void;
}

/** One key press can arrive twice at once: from the terminal and handed on by the package manager above us. */
const duplicateWindowMs = 300;

/**
 * First signal: abort, so that the run can end in order. Second: leave at once.
 * @param options.onFirst called after the abort
 * @param options.exitNow must not return in the real program: `process.exit`
 */
export function watchInterrupts(options: {
  readonly source: SignalSource;
  readonly nowMs: () => number;
  readonly onFirst: (signal: InterruptSignal) => void;
  readonly exitNow: (exitCode: number) => void;
}): Interrupts {
  const controller = new AbortController();
  let first: { readonly signal: InterruptSignal; readonly atMs: number } | undefined;
  const listen = (signal: InterruptSignal): void => {
    if (first === undefined) {
      first = { signal, atMs: options.nowMs() };
      controller.abort(new InterruptedError(signal));
      options.onFirst(signal);
    } else if (options.nowMs() - first.atMs > duplicateWindowMs) {
      options.exitNow(interruptExitCodes[signal]);
    }
  };
  for (const signal of interruptSignals) options.source.on(signal, listen);
  return {
    signal: controller.signal,
    received: () => first?.signal,
    dispose: () => {
      for (const signal of interruptSignals) options.source.off(signal, listen);
    },
  };
}
