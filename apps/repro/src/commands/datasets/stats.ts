import type {
  CategoryStatistics,
  DatasetStatistics,
  SplitPartStatistics,
  Spread,
} from "@memory-r1/datasets";
import { renderText, type TableData, type TableRow } from "@memory-r1/report";
import { splitPartNames, type SplitPartName } from "@memory-r1/spec";
import { buildCommand, type Command, type CommandContext } from "@stricli/core";
import { escapeControls } from "../../escape-controls.ts";
import { guardCommand } from "../../guard-command.ts";
import type { Shell } from "../../shell.ts";
import {
  datasetFlags,
  datasetPositional,
  type DatasetRequest,
  datasetsLibrary,
  findDefinition,
  openOptions,
} from "./open-dataset.ts";

export type DatasetsStatsRequest = DatasetRequest;

/** What `--json` gives. */
interface DatasetCounts {
  readonly dataset: string;
  /** Absent for a set that is read piece by piece, as are the splits. */
  readonly sha256?: string;
  readonly statistics: DatasetStatistics;
  readonly splits?: Readonly<Record<string, Readonly<Record<SplitPartName, SplitPartStatistics>>>>;
  readonly notes: readonly string[];
}

/** `repro datasets stats <name>`. */
export function buildDatasetsStatsCommand(
  handle: (request: DatasetsStatsRequest) => Promise<void>,
): Command<CommandContext> {
  return buildCommand({
    func: (flags: Omit<DatasetsStatsRequest, "dataset">, dataset: string) =>
      handle({ ...flags, dataset }),
    parameters: { positional: datasetPositional, flags: datasetFlags },
    docs: {
      brief:
        "Count a data set: conversations, turns, questions by category and split, what was odd",
    },
  });
}

export function createDatasetsStatsHandler(
  shell: Shell,
): (request: DatasetsStatsRequest) => Promise<number> {
  return (request) =>
    guardCommand(shell, false, async () => {
      const counts = await count(shell, request);
      shell.writeOut(request.json ? `${JSON.stringify(counts, null, 2)}\n` : renderCounts(counts));
      return 0;
    });
}

async function count(
  shell: Shell,
  { dataset, dataDir }: DatasetsStatsRequest,
): Promise<DatasetCounts> {
  const { name, definition } = await findDefinition(dataset);
  const library = await datasetsLibrary();
  const options = openOptions(shell, dataDir);
  const counter = library.createStatisticsCounter();
  if (definition.read === undefined) {
    const loaded = await definition.load(options);
    for (const part of library.partsOf(loaded)) counter.add(part);
    const { sha256, notes } = loaded;
    const splits = library.computeSplitStatistics(loaded);
    return { dataset: name, sha256, statistics: counter.result(), splits, notes };
  }
  // A set that can be read in parts may be larger than memory.
  const notes: string[] = [];
  for await (const part of definition.read(options)) {
    counter.add(part);
    notes.push(...(part.notes ?? []));
  }
  return { dataset: name, statistics: counter.result(), notes };
}

function renderCounts(counts: DatasetCounts): string {
  const { byCategory } = counts.statistics;
  const tables = [factTable(counts), categoryTable(byCategory)];
  for (const [name, split] of Object.entries(counts.splits ?? {}))
    tables.push(splitTable(name, split, byCategory));
  return tables.map(renderText).join("\n");
}

function factTable({ dataset, sha256, statistics, notes }: DatasetCounts): TableData {
  const rows: [string, string | number | undefined][] = [
    ["conversations", statistics.conversations],
    ["sessions", statistics.sessions],
    ["sessions a conversation", describeSpread(statistics.sessionsPerConversation)],
    ["turns", statistics.turns],
    ["turns a conversation", describeSpread(statistics.turnsPerConversation)],
    ["words", statistics.words],
    ["words a conversation", describeSpread(statistics.wordsPerConversation)],
    ["facts (observations)", statistics.facts],
    ["session summaries", statistics.summaries],
    ["events", statistics.events],
    ["turns with a picture\u2019s caption", statistics.turnsWithCaption],
    ["turns with a picture\u2019s address", statistics.turnsWithUrl],
    ["sessions without a date-time", statistics.sessionsWithoutDateTime],
    ["first session", statistics.dateTimes?.first],
    ["last session", statistics.dateTimes?.last],
    ["questions", statistics.questions],
    ["questions without gold (ungraded)", statistics.ungraded],
    ["questions that are not answerable", statistics.unanswerable],
    ["questions without evidence", statistics.withoutEvidence],
    ["questions with a caption as evidence", statistics.withCaptionAsEvidence],
    ["questions with a published finding", statistics.knownIssues],
    ["turns named as evidence", statistics.evidenceTurns],
  ];
  return {
    title: `${dataset}${sha256 === undefined ? "" : ` (sha256 ${sha256})`}`,
    columns: [
      { key: "what", label: "What", kind: "text" },
      { key: "count", label: "Count", kind: "text" },
    ],
    rows: rows.map(([what, value]) => ({
      what,
      count: typeof value === "number" ? value.toLocaleString("en-US") : value,
    })),
    notes: notes.map(escapeControls),
  };
}

function describeSpread(spread: Spread | undefined): string | undefined {
  if (spread === undefined) return undefined;
  const format = (value: number): string =>
    value.toLocaleString("en-US", { maximumFractionDigits: 1 });
  return `${format(spread.mean)} (${format(spread.least)} to ${format(spread.most)})`;
}

function categoryTable(categories: readonly CategoryStatistics[]): TableData {
  const schemes = [...new Set(categories.flatMap(({ names }) => Object.keys(names)))];
  return {
    title: "Questions by category, under every naming",
    columns: [
      { key: "code", label: "Code", kind: "text" },
      ...schemes.map((scheme) => ({ key: `name:${scheme}`, label: scheme, kind: "text" as const })),
      { key: "questions", label: "Questions", kind: "count" },
      { key: "ungraded", label: "Ungraded", kind: "count" },
      { key: "scoreCorrupting", label: "Gold known to be wrong", kind: "count" },
      { key: "ceiling", label: "Ceiling", kind: "text" },
    ],
    rows: categories.map(({ code, names, ...counts }): TableRow => ({
      code,
      ...Object.fromEntries(schemes.map((scheme) => [`name:${scheme}`, names[scheme]])),
      ...counts,
      ceiling: describeCeiling(counts),
    })),
    notes: [
      "ceiling: the accuracy of right answers alone, where findings about the gold are known.",
    ],
  };
}

/** Share of graded questions whose gold is not known to be wrong. */
function describeCeiling({
  questions,
  ungraded,
  scoreCorrupting,
}: Omit<CategoryStatistics, "code" | "names">): string | undefined {
  const graded = questions - ungraded;
  return graded === 0 || scoreCorrupting === 0
    ? undefined
    : `${((100 * (graded - scoreCorrupting)) / graded).toFixed(1)} %`;
}

function splitTable(
  name: string,
  split: Readonly<Record<SplitPartName, SplitPartStatistics>>,
  categories: readonly CategoryStatistics[],
): TableData {
  return {
    title: `Split ${name}`,
    columns: [
      { key: "part", label: "Part", kind: "text" },
      { key: "conversations", label: "Conversations", kind: "count" },
      { key: "questions", label: "Questions", kind: "count" },
      { key: "adversarialQuestions", label: "Adversarial, apart", kind: "count" },
      ...categories.map(({ code }) => ({
        key: `category:${code}`,
        label: `Category ${code}`,
        kind: "count" as const,
      })),
    ],
    rows: splitPartNames.map((part): TableRow => {
      const { byCategory, ...counts } = split[part];
      const ofCategories = categories.map(
        ({ code }) => [`category:${code}`, byCategory[code] ?? 0] as const,
      );
      return { part, ...counts, ...Object.fromEntries(ofCategories) };
    }),
    notes: [],
  };
}
