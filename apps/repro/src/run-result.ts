import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { basename, isAbsolute, join, relative } from "node:path";
import { tableSchema, writeFileAtomic } from "@memory-r1/report";
import { ConfigError, parseJson } from "@memory-r1/spec";
import { z } from "zod";
import type { RunResult } from "./run-context.ts";

/** The file in a run's folder that says: this run has ended, and this is its table. Written after everything else. */
const runResultFile = "result.json";

const runResultSchema = z.strictObject({
  schemaVersion: z.literal(1),
  runId: z.string(),
  /** Relative to the run's folder where it lies inside, so that the folder can be moved. */
  csvPath: z.string(),
  table: tableSchema,
  detailTables: z.array(tableSchema).default([]),
});

/** Keeps the result in the run's folder, for `repro report`. */
export async function writeRunResult(result: RunResult): Promise<void> {
  const inside = relative(result.runDirectory, result.csvPath);
  const isInside = !inside.startsWith("..") && !isAbsolute(inside);
  const content: z.input<typeof runResultSchema> = {
    schemaVersion: 1,
    runId: result.runId,
    csvPath: isInside ? inside.replaceAll("\\", "/") : result.csvPath,
    table: result.table,
    detailTables: [...result.detailTables],
  };
  await writeFileAtomic(
    join(result.runDirectory, runResultFile),
    `${JSON.stringify(content, null, 2)}\n`,
  );
}

/** @throws ConfigError if the run has not ended, DataFormatError if the file is damaged. */
export async function readRunResult(runDirectory: string): Promise<RunResult> {
  const file = join(runDirectory, runResultFile);
  if (!existsSync(file)) {
    const run = basename(runDirectory);
    throw new ConfigError(
      `Run ${run} has no ${runResultFile}: it has not ended. Finish it by \`repro resume ${run}\`.`,
    );
  }
  const { runId, csvPath, table, detailTables } = parseJson(
    await readFile(file, "utf8"),
    runResultSchema,
    file,
  );
  return {
    runId,
    runDirectory,
    csvPath: isAbsolute(csvPath) ? csvPath : join(runDirectory, csvPath),
    table,
    detailTables,
  };
}
