import { type Outcome, ungraded } from "@memory-r1/spec";
import { readInputLines } from "./input-lines.ts";
import { readPredictionLine, scoreFields } from "./prediction-line.ts";
import type { Scorer } from "./scorers.ts";
import type { ScoreAccumulator } from "./score-summary.ts";

export interface ScoreLinesOptions {
  readonly chunks: AsyncIterable<Uint8Array>;
  /** By name, in the order in which their scores are written. */
  readonly scorers: ReadonlyMap<string, Scorer>;
  readonly accumulator: ScoreAccumulator;
  /** Hears of every malformed line, in order. */
  readonly onMalformed: (problem: string) => void;
  /** Hears of every line of which a field was overwritten. */
  readonly onReplaced: () => void;
  /** Hears how many lines a chunk of output has. */
  readonly onLines: (count: number) => void;
}

/**
 * Scores lines of predictions in order: each comes back with its score, whatever else is in it untouched, and each
 * malformed one with its problem. The texts that are given are whole lines, as many as a chunk of the input had.
 */
export async function* scoreLines(options: ScoreLinesOptions): AsyncGenerator<string> {
  const { scorers, accumulator } = options;
  const needsAnswers = [...scorers.values()].some(({ compares }) => compares === "answers");
  for await (const lines of readInputLines(options.chunks)) {
    let output = "";
    for (const input of lines) {
      const read = readPredictionLine(input, { needsAnswers });
      const outcomes = new Map<string, Outcome>();
      for (const [name, scorer] of scorers) {
        outcomes.set(
          name,
          read.kind === "prediction" ? scorer.score(read.line) : ungraded(read.problem),
        );
      }
      if (read.kind === "prediction") accumulator.add(read.line.category, outcomes);
      else {
        accumulator.addMalformed();
        options.onMalformed(read.problem);
      }
      const written = read.write(scoreFields(outcomes));
      if (written.replaced) options.onReplaced();
      output += `${written.text}\n`;
    }
    options.onLines(lines.length);
    yield output;
  }
}
