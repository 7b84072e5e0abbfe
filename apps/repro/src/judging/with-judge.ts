import type { ProgressTask, RunContext } from "../run-context.ts";
import { type JudgeItem, judgeAnswers } from "./judge-answers.ts";
import { createJudgeModel } from "./judge-model.ts";
import type { JudgeSettings } from "./judge-work.ts";
import type { JudgedLine } from "./verdict.ts";

/** Judges one file's worth of answers with what {@link withJudge} has opened. See {@link judgeAnswers}. */
type JudgeItems = (items: readonly JudgeItem[], file: string) => Promise<readonly JudgedLine[]>;

/** Gives `work` a judge with its model and a progress task of `total` lines, and ends both whatever happens. */
export async function withJudge<Result>(
  settings: JudgeSettings,
  context: RunContext,
  total: number,
  work: (judge: JudgeItems, progress: ProgressTask) => Promise<Result>,
): Promise<Result> {
  const model = createJudgeModel(settings, context);
  const progress = context.startProgress("verdicts", total);
  const { signal } = context;
  try {
    return await work(
      (items, file) =>
        judgeAnswers({
          judge: settings.judge,
          model: settings.model,
          generator: () => model.generator(),
          items,
          file,
          runs: settings.runs,
          constrained: settings.constrained,
          concurrency: settings.concurrency,
          progress,
          signal,
        }),
      progress,
    );
  } finally {
    progress.done();
    await model.close();
  }
}
