import type { Environment } from "./environment.ts";
import type { Interrupts, InterruptSignal } from "./interrupts.ts";
import type { ProgressDisplay } from "./progress.ts";

/** The outside world as the commands see it. The real one is made in main.ts, a scripted one in tests. */
export interface Shell {
  readonly environment: Environment;
  readonly repositoryRoot: string;
  /** Data for the user or the next program: tables, JSON. */
  writeOut(text: string): void;
  /** The same for much text: resolves when it is on its way, with false where nobody reads any more. */
  writeOutFully(text: string): Promise<boolean>;
  /** What is piped in, until its end or the abort. */
  readInput(signal: AbortSignal): AsyncIterable<Uint8Array>;
  /** Everything else: log, errors. */
  writeError(text: string): void;
  /** Bars on a terminal, lines elsewhere; writes to stderr. */
  createProgress(): ProgressDisplay;
  /** Listens for Ctrl-C until disposed of; `onFirst` is called at the first one. */
  watchInterrupts(onFirst: (signal: InterruptSignal) => void): Interrupts;
  now(): Date;
}
