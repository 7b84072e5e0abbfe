import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { type KnownIssue, parseJson } from "@memory-r1/spec";
import { z } from "zod";

// The same relative path holds from src/ and from dist/.
const file = fileURLToPath(new URL("../../data/locomo-known-issues.json", import.meta.url));

const knownIssuesSchema = z.strictObject({
  description: z.string(),
  /** The file whose questions the ids mean. */
  datasetSha256: z.string(),
  source: z.string(),
  kinds: z.array(
    z.strictObject({
      kind: z.string(),
      scoreCorrupting: z.boolean(),
      questionIds: z.array(z.string()),
    }),
  ),
});

/** Question id of the official LoCoMo file to the published findings about it (ids only; see the data file). */
export async function readLocomoKnownIssues(): Promise<ReadonlyMap<string, readonly KnownIssue[]>> {
  const { source, kinds } = parseJson(await readFile(file, "utf8"), knownIssuesSchema, file);
  const byQuestion = new Map<string, KnownIssue[]>();
  for (const { kind, scoreCorrupting, questionIds } of kinds) {
    for (const id of questionIds) {
      const issues = byQuestion.get(id) ?? [];
      issues.push({ kind, scoreCorrupting, source });
      byQuestion.set(id, issues);
    }
  }
  return byQuestion;
}
