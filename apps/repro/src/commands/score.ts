import { basename, resolve } from "node:path";
import { formatCount, renderText, type TableData } from "@memory-r1/report";
import { ConfigError } from "@memory-r1/spec";
import { buildCommand, type Command, type CommandContext } from "@stricli/core";
import { jsonFlag, parseText } from "../command-flags.ts";
import { guardCommand } from "../guard-command.ts";
import { interruptExitCodes } from "../interrupts.ts";
import type { ProgressDisplay } from "../progress.ts";
import { type Input, openInputFile, openOutputFile } from "../scoring/line-files.ts";
import { scoreLines } from "../scoring/score-lines.ts";
import { createScoreAccumulator, summaryTable } from "../scoring/score-summary.ts";
import { chooseScorers, scorers } from "../scoring/scorers.ts";
import type { Shell } from "../shell.ts";

export interface ScoreRequest {
  /** Names of scorers, or `list`. */
  readonly metric: readonly string[];
  /** A file, or `-` for standard input. */
  readonly predictions?: string;
  /** A file, or `-` for standard output, which is the default. */
  readonly out?: string;
  readonly json: boolean;
}

const standardStream = "-";
const listWord = "list";

/** `repro score --metric NAME --predictions FILE.jsonl --out FILE.jsonl`. */
export function buildScoreCommand(
  handle: (request: ScoreRequest) => Promise<void>,
): Command<CommandContext> {
  return buildCommand({
    func: (flags: ScoreRequest) => handle(flags),
    parameters: {
      flags: {
        metric: {
          kind: "parsed",
          parse: parseText,
          brief: "A metric, or several: repeated or with commas; list shows all",
          placeholder: "NAME",
          variadic: ",",
        },
        predictions: {
          kind: "parsed",
          parse: parseText,
          brief: "File with one JSON object a line, or - for standard input",
          placeholder: "FILE",
          optional: true,
        },
        out: {
          kind: "parsed",
          parse: parseText,
          brief: "File for the scored lines, or - for standard output (default)",
          placeholder: "FILE",
          optional: true,
        },
        json: jsonFlag,
      },
    },
    docs: {
      brief: "Score any system's predictions, line by line",
      fullDescription: [
        'Each line {"id"?, "prediction", "answer", "category"?, "contextIds"?, "evidence"?} comes back in order with its score and everything else that it holds; a summary goes to stderr.',
        'A line that cannot be scored has "score": null and a "reason". Exit code 1 if a line was malformed; all others are scored all the same.',
      ].join("\n"),
    },
  });
}

export function createScoreHandler(shell: Shell): (request: ScoreRequest) => Promise<number> {
  return (request) =>
    guardCommand(shell, false, async () => {
      if (!request.metric.includes(listWord)) return scoreFile(shell, request);
      shell.writeOut(
        request.json ? `${JSON.stringify(listOfMetrics(), null, 2)}\n` : metricTable(),
      );
      return 0;
    });
}

function listOfMetrics(): readonly Record<
  "name" | "description" | "source" | "compares",
  string
>[] {
  return Object.entries(scorers).map(([name, { description, source, compares }]) => ({
    name,
    description,
    source,
    compares,
  }));
}

function metricTable(): string {
  const table: TableData = {
    title: "",
    columns: [
      { key: "name", label: "Metric", kind: "text" },
      { key: "description", label: "What it is", kind: "text" },
      { key: "source", label: "Source", kind: "text" },
    ],
    rows: listOfMetrics(),
    notes: [],
  };
  return renderText(table);
}

async function scoreFile(shell: Shell, request: ScoreRequest): Promise<number> {
  const chosen = chooseScorers(request.metric);
  const { predictions, out = standardStream } = request;
  if (predictions === undefined) {
    throw new ConfigError(
      "Name the file of predictions with --predictions, or - for standard input.",
    );
  }
  const pathOf = (word: string): string => resolve(shell.environment.callerDirectory, word);
  const progress = shell.createProgress();
  const interrupts = shell.watchInterrupts(() => progress.log("interrupted"));
  let input: Input | undefined;
  try {
    input =
      predictions === standardStream
        ? standardInput(shell, interrupts.signal)
        : await openInputFile(pathOf(predictions));
    const write = out === standardStream ? writeOutOf(shell) : await openOutputFile(pathOf(out));
    const accumulator = createScoreAccumulator([...chosen.keys()]);
    const follow = followProgress(shell, progress, predictions, input.sizeBytes);
    const malformed = tellMalformed(progress);
    let replaced = 0;
    await write(
      scoreLines({
        chunks: stopAtInterrupt(input.chunks, interrupts.signal, follow.onBytes),
        scorers: chosen,
        accumulator,
        onMalformed: malformed.tell,
        onReplaced: () => {
          replaced += 1;
        },
        onLines: follow.onLines,
      }),
    );
    progress.close();
    malformed.tellRest();
    if (replaced > 0)
      shell.writeError(`${formatCount(replaced)} lines had a score already: it is replaced\n`);
    const summary = accumulator.summarise();
    shell.writeError(
      request.json ? `${JSON.stringify(summary, null, 2)}\n` : renderText(summaryTable(summary)),
    );
    return summary.malformed === 0 ? 0 : 1;
  } catch (error) {
    progress.close();
    const signal = interrupts.received();
    if (signal !== undefined) return interruptExitCodes[signal];
    throw error;
  } finally {
    await input?.close();
    interrupts.dispose();
  }
}

function standardInput(shell: Shell, signal: AbortSignal): Input {
  return {
    sizeBytes: undefined,
    chunks: shell.readInput(signal),
    close: () => Promise.resolve(),
  };
}

/** Writes to standard output as fast as it takes the texts, and stops reading where nobody wants more. */
function writeOutOf(shell: Shell): (texts: AsyncIterable<string>) => Promise<void> {
  return async (texts) => {
    for await (const text of texts) if (!(await shell.writeOutFully(text))) return;
  };
}

async function* stopAtInterrupt(
  chunks: AsyncIterable<Uint8Array>,
  signal: AbortSignal,
  onBytes: (count: number) => void,
): AsyncGenerator<Uint8Array> {
  for await (const chunk of chunks) {
    signal.throwIfAborted();
    yield chunk;
    onBytes(chunk.length);
  }
}

const bytesPerMegabyte = 1e6;
const lineEveryMs = 10_000;

/** How far: megabytes of a file, or now and then the number of lines where nobody knows how many there will be. */
function followProgress(
  shell: Shell,
  progress: ProgressDisplay,
  predictions: string,
  sizeBytes: number | undefined,
): { readonly onBytes: (count: number) => void; readonly onLines: (count: number) => void } {
  let lines = 0;
  if (sizeBytes === undefined) {
    let toldAtMs = shell.now().getTime();
    return {
      onBytes: () => {
        const nowMs = shell.now().getTime();
        if (nowMs - toldAtMs < lineEveryMs) return;
        toldAtMs = nowMs;
        progress.log(`scoring standard input: ${formatCount(lines)} lines`);
      },
      onLines: (count) => {
        lines += count;
      },
    };
  }
  const task = progress.startProgress(
    `scoring ${basename(predictions)}, MB`,
    sizeBytes / bytesPerMegabyte,
  );
  return {
    onBytes: (count) => task.advance(count / bytesPerMegabyte),
    onLines: (count) => {
      lines += count;
      task.note(`${formatCount(lines)} lines`);
    },
  };
}

/** The first problems as they are found, the rest as a number: a wrong file has one in every line. */
function tellMalformed(progress: ProgressDisplay): {
  readonly tell: (problem: string) => void;
  readonly tellRest: () => void;
} {
  const told = 20;
  let count = 0;
  return {
    tell: (problem) => {
      count += 1;
      if (count <= told) progress.log(`malformed: ${problem}`);
    },
    tellRest: () => {
      if (count > told)
        progress.log(
          `malformed: ${formatCount(count - told)} more lines; see their reasons in the output`,
        );
    },
  };
}
