/** `pnpm bench:metrics-differential`: every metric beside NLTK, rouge_score and definitions in Python. See README.md. */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import {
  type AnswerMetric,
  computeLongmemevalRetrieval,
  computeLongmemevalTurnToSession,
  computePorterStem,
  type LongmemevalRanking,
  metrics,
  type RetrievalMetric,
  retrievalMetrics,
  sentenceAbbreviations,
  tokeniseWords,
} from "@memory-r1/metrics";
import { renderMarkdown, type TableData } from "@memory-r1/report";
import { HarnessError, parseJson } from "@memory-r1/spec";
import { z } from "zod";
import { parseCount, readFlags, runCommand } from "../common/command-line.ts";
import { describeMachine, readCommit } from "../common/provenance.ts";
import { runWorker } from "../common/run-worker.ts";
import { prepareReferencePython, referenceDirectory } from "../common/reference-python.ts";
import { compareScores, type Comparison, tolerance } from "./compare.ts";
import {
  generateAnswerCases,
  generateRankings,
  generateRetrievalCases,
  generateWords,
} from "./generate-cases.ts";

// This file runs from benchmarks/dist/metrics-differential; the Python lies beside its source.
const repositoryRoot = fileURLToPath(new URL("../../..", import.meta.url));

const help = `Compares every metric with its definition in Python on seeded pairs of odd texts. Exit code 1 where one differs.

  --pairs 5000   pairs of texts, and as many rankings
  --seed 0
`;

const scores = z.record(z.string(), z.array(z.number()));
const answerSchema = z.strictObject({
  answers: scores,
  trainedBleu: scores,
  retrievals: z.record(z.string(), z.array(z.number().nullable())),
  rankings: scores,
  stems: z.record(z.string(), z.string()),
  tokens: z.record(z.string(), z.array(z.string())),
  versions: z.record(z.string(), z.string()),
});

/** LongMemEval's scores of a ranking of a whole corpus, which no registry holds. */
const rankingScores = new Map(
  [
    { unit: "turns", compute: computeLongmemevalRetrieval },
    { unit: "sessions of turns", compute: computeLongmemevalTurnToSession },
  ].flatMap(
    ({ unit, compute }) =>
      [
        [`LongMemEval ${unit}: any`, (ranking: LongmemevalRanking) => compute(ranking).recallAny],
        [`LongMemEval ${unit}: all`, (ranking: LongmemevalRanking) => compute(ranking).recallAll],
        [`LongMemEval ${unit}: ndcg`, (ranking: LongmemevalRanking) => compute(ranking).ndcg],
      ] as const,
  ),
);

interface Options {
  readonly pairs: number;
  readonly seed: number;
}

function readOptions(): Options | undefined {
  const values = readFlags({
    pairs: { type: "string", default: "5000" },
    seed: { type: "string", default: "0" },
    help: { type: "boolean", default: false },
  });
  if (values.help) return undefined;
  return {
    pairs: parseCount("--pairs", values.pairs, 1),
    seed: parseCount("--seed", values.seed, 0),
  };
}

/** Both sides must know the same metrics, or one would go untested. @throws HarnessError */
function checkNames(where: string, ours: readonly string[], theirs: readonly string[]): void {
  const missing = ours.filter((name) => !theirs.includes(name));
  const unknown = theirs.filter((name) => !ours.includes(name));
  if (missing.length + unknown.length > 0) {
    throw new HarnessError(
      "benchmark",
      `${where}: reference_metrics.py lacks ${missing.join(", ") || "nothing"} and has ${unknown.join(", ") || "nothing"} more`,
    );
  }
}

async function run({ pairs, seed }: Options): Promise<boolean> {
  const code = await readCommit(repositoryRoot);
  const python = await prepareReferencePython(repositoryRoot, (line) => {
    console.error(line);
  });
  const answerCases = generateAnswerCases(seed, pairs);
  const retrievalCases = generateRetrievalCases(seed, pairs);
  const rankings = generateRankings(seed, pairs);
  const words = generateWords();
  const output = await runWorker({
    command: python,
    arguments: [join(referenceDirectory(repositoryRoot), "worker.py")],
    input: JSON.stringify({
      pairs: answerCases,
      retrievals: retrievalCases,
      rankings,
      words,
      abbreviations: [...sentenceAbbreviations],
    }),
  });
  const peer = parseJson(output, answerSchema, "worker.py");
  checkNames("answer metrics", Object.keys(metrics), Object.keys(peer.answers));
  checkNames("retrieval metrics", Object.keys(retrievalMetrics), Object.keys(peer.retrievals));
  checkNames("rankings", [...rankingScores.keys()], Object.keys(peer.rankings));

  const ownScores = (metric: AnswerMetric): number[] =>
    answerCases.map(([prediction, gold, categoryCode]) =>
      metric.score(prediction, { gold, categoryCode }),
    );
  const ownRetrievals = (metric: RetrievalMetric): (number | undefined)[] =>
    retrievalCases.map((reference) => {
      const outcome = metric.score(reference);
      return outcome.status === "graded" ? outcome.score : undefined;
    });
  const exact: readonly Comparison[] = [
    ...Object.entries<AnswerMetric>(metrics).map(([name, metric]) =>
      compareScores(name, ownScores(metric), peer.answers[name] ?? []),
    ),
    ...Object.entries<RetrievalMetric>(retrievalMetrics).map(([name, metric]) =>
      compareScores(
        name,
        ownRetrievals(metric),
        (peer.retrievals[name] ?? []).map((score) => score ?? undefined),
      ),
    ),
    ...[...rankingScores].map(([name, score]) =>
      compareScores(name, rankings.map(score), peer.rankings[name] ?? []),
    ),
    compareTexts("Porter stems", words, computePorterStem, peer.stems),
    compareTexts(
      "word_tokenize",
      Object.keys(peer.tokens),
      (text) => tokeniseWords(text).join(" "),
      Object.fromEntries(
        Object.entries(peer.tokens).map(([text, found]) => [text, found.join(" ")]),
      ),
    ),
  ];
  for (const { metric, firstDiffering } of exact) {
    const example = firstDiffering === undefined ? undefined : answerCases[firstDiffering];
    if (example !== undefined)
      console.error(`${metric}: first differs on ${JSON.stringify(example)}`);
  }
  const trained = Object.entries(peer.trainedBleu).map(([name, found]) =>
    compareScores(name, peer.answers[name] ?? [], found),
  );
  const versions = Object.entries(peer.versions).map(([name, version]) => `${name} ${version}`);
  const { cpu, cores } = describeMachine();
  const provenance =
    `\`pnpm bench:metrics-differential --pairs ${pairs} --seed ${seed}\`, commit ${code.commit ?? "unknown"}` +
    `${code.dirty ? " with changes" : ""}, node ${process.version}, ${versions.join(", ")}; ${cores} cores, ${cpu}`;
  console.log(renderMarkdown(toTable(`Differences above ${tolerance}`, exact, [provenance])));
  console.log(
    renderMarkdown(
      toTable(
        "BLEU with Punkt's trained English model instead of the list of abbreviations",
        trained,
        [],
      ),
    ),
  );
  return exact.every(({ differing }) => differing === 0);
}

/** As `compareScores`, for texts that are equal or not. */
function compareTexts(
  metric: string,
  inputs: readonly string[],
  compute: (input: string) => string,
  theirs: Readonly<Record<string, string>>,
): Comparison {
  const isEqual = inputs.map((input) => Number(compute(input) === theirs[input]));
  const firstUnequal = inputs[isEqual.indexOf(0)];
  if (firstUnequal !== undefined) {
    console.error(
      `${metric}: ${JSON.stringify(firstUnequal)} is ${JSON.stringify(compute(firstUnequal))} here, ` +
        `${JSON.stringify(theirs[firstUnequal])} there`,
    );
  }
  return {
    ...compareScores(
      metric,
      isEqual,
      isEqual.map(() => 1),
    ),
    firstDiffering: undefined,
  };
}

function toTable(
  title: string,
  comparisons: readonly Comparison[],
  notes: readonly string[],
): TableData {
  return {
    title,
    columns: [
      { key: "metric", label: "Metric", kind: "text" },
      { key: "cases", label: "Cases", kind: "count" },
      { key: "differing", label: "Differing", kind: "count" },
      { key: "largest", label: "Largest difference", kind: "text" },
    ],
    rows: comparisons.map(({ metric, cases, differing, largestDifference }) => ({
      metric,
      cases,
      differing,
      largest: largestDifference === 0 ? "0" : largestDifference.toExponential(1),
    })),
    notes,
  };
}

await runCommand(help, readOptions, async (options) => {
  if (!(await run(options))) process.exitCode = 1;
});
