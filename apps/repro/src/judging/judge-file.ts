import { ConfigError } from "@memory-r1/spec";
import type { JudgeFileOptions, JudgeReport } from "./judge-work.ts";
import { readPredictionFile, reportPredictionFile } from "./prediction-lines.ts";
import { judgedTables, summariseJudged } from "./summarise-judged.ts";
import { withJudge } from "./with-judge.ts";

/** Judges a file of predictions. @throws ConfigError for what the user can mend; see also judgeAnswers */
export async function judgeFile(options: JudgeFileOptions): Promise<JudgeReport> {
  const { predictionsFile, outFile, context, judge } = options;
  refuseSameFile(predictionsFile, outFile);
  const read = await readPredictionFile(predictionsFile);
  reportPredictionFile(read, context.logger);
  const { lines, malformed } = read;
  const judged = await withJudge(options, context, lines.length, (judgeItems) =>
    judgeItems(lines, outFile),
  );
  const summary = summariseJudged(judged, judge);
  return {
    tables: judgedTables(summary, `${judge} by ${options.model}`, judge),
    summary: { judge, model: options.model, malformed: malformed.length, ...summary },
    files: [outFile],
    malformed,
    failedCalls: summary.failedCalls,
  };
}

/** @throws ConfigError where the verdicts would be written over what they are read from */
export function refuseSameFile(input: string, output: string): void {
  if (input !== output) return;
  throw new ConfigError(
    `${output} is read from and cannot be written to as well. Name another file with --out.`,
  );
}
