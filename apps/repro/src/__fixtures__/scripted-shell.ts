import { EventEmitter } from "node:events";
import { join } from "node:path";
import { PassThrough, Readable } from "node:stream";
import { readEnvironment } from "../environment.ts";
import { watchInterrupts } from "../interrupts.ts";
import { createLineProgress } from "../progress.ts";
import type { RunResult } from "../run-context.ts";
import type { Shell } from "../shell.ts";

/** A shell whose output is kept, whose clock stands still and whose signals are sent by the test. */
export interface ScriptedShell extends Shell {
  readonly signals: EventEmitter;
  readonly hardExits: number[];
  /** What is piped in. */
  pipeIn(...chunks: readonly Uint8Array[]): void;
  /** From now on nobody reads standard output. */
  closeOut(): void;
  out(): string;
  err(): string;
}

/** @param folder stands for the repository root and for the folder in which the user is */
export function createScriptedShell(folder: string): ScriptedShell {
  let out = "";
  let err = "";
  const stderr = new PassThrough();
  stderr.on("data", (chunk: Buffer) => (err += chunk.toString()));
  const signals = new EventEmitter();
  const hardExits: number[] = [];
  let nowMs = 0;
  let piped: readonly Uint8Array[] = [];
  let isOutClosed = false;
  return {
    environment: readEnvironment({
      variables: {},
      platform: "linux",
      homeDirectory: join(folder, "home"),
      currentDirectory: folder,
    }),
    repositoryRoot: folder,
    writeOut: (text) => (out += text),
    writeOutFully: (text) => {
      if (!isOutClosed) out += text;
      return Promise.resolve(!isOutClosed);
    },
    readInput: (signal) => Readable.from(piped, { signal }),
    pipeIn: (...chunks) => {
      piped = chunks;
    },
    closeOut: () => {
      isOutClosed = true;
    },
    writeError: (text) => (err += text),
    createProgress: () => createLineProgress({ stream: stderr, nowMs: () => nowMs }),
    watchInterrupts: (onFirst) =>
      watchInterrupts({
        source: signals,
        // Every look at this clock is a second later: no two signals are one key press.
        nowMs: () => (nowMs += 1_000),
        onFirst,
        exitNow: (exitCode) => hardExits.push(exitCode),
      }),
    now: () => new Date(2025, 0, 2, 3, 4, 5),
    signals,
    hardExits,
    out: () => out,
    err: () => err,
  };
}

/** The result of a finished run with one row. */
export function sampleResult(runDirectory: string, runId: string): RunResult {
  return {
    runId,
    runDirectory,
    csvPath: join(runDirectory, "results.csv"),
    table: {
      title: "Demo",
      columns: [
        { key: "system", label: "System", kind: "text" },
        { key: "f1", label: "F1", kind: "score" },
      ],
      rows: [{ system: "RAG", f1: 0.25 }, { system: "none" }],
      notes: [],
    },
    detailTables: [],
  };
}
