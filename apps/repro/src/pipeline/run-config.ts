import { join } from "node:path";
import { writeFileAtomic } from "@memory-r1/report";
import { parseJson, ResumeMismatchError } from "@memory-r1/spec";
import { z } from "zod";
import { experimentSchema } from "../experiment.ts";
import { readIfThere } from "./json-lines.ts";

/** What a run was started with; `resume` reads it, and refuses to mix in anything else. */
const runConfigSchema = z.strictObject({
  schemaVersion: z.literal(1),
  runId: z.string(),
  command: z.string(),
  startedAt: z.iso.datetime(),
  code: z.strictObject({ commit: z.string().nullable(), dirty: z.boolean() }),
  datasetSha256: z.string(),
  dataDirectory: z.string().optional(),
  threads: z.number().optional(),
  /** What went on with the run after it had stopped, oldest first: the manifest must not name one commit of two. */
  resumed: z
    .array(
      z.strictObject({
        at: z.iso.datetime(),
        code: z.strictObject({ commit: z.string().nullable(), dirty: z.boolean() }),
        /** Changes of the evaluation, as the command line gave them; `experiment` holds them already. */
        overrides: z.array(z.string()),
      }),
    )
    .default([]),
  experiment: experimentSchema,
});
export type RunConfig = z.infer<typeof runConfigSchema>;

const fileName = "config.json";

export async function writeRunConfig(runDirectory: string, config: RunConfig): Promise<void> {
  await writeFileAtomic(join(runDirectory, fileName), `${JSON.stringify(config, null, 2)}\n`);
}

/** @throws ResumeMismatchError where the folder is no run's */
export async function readRunConfig(runDirectory: string): Promise<RunConfig> {
  const file = join(runDirectory, fileName);
  const text = await readIfThere(file);
  if (text === undefined) {
    throw new ResumeMismatchError(
      `${file} is missing: the run ended before it had begun. Start it again with \`repro run\`.`,
    );
  }
  return parseJson(text, runConfigSchema, file);
}
