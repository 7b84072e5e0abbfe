import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parseJson } from "@memory-r1/spec";
import { expect, it } from "vitest";
import { z } from "zod";
import { type AnswerMetric, metrics } from "./registry.ts";

// Invented texts; the scores were computed in Python (see the file's origin and versions).
const file = fileURLToPath(new URL("__fixtures__/official-values.json", import.meta.url));
const { cases } = parseJson(
  readFileSync(file, "utf8"),
  z.strictObject({
    origin: z.string(),
    versions: z.record(z.string(), z.string()),
    cases: z
      .array(
        z.strictObject({
          prediction: z.string(),
          gold: z.string(),
          categoryCode: z.string(),
          scores: z.record(z.string(), z.number()),
        }),
      )
      .length(20),
  }),
  file,
);

it.each(Object.entries<AnswerMetric>(metrics))("%s gives Python's values", (name, metric) => {
  for (const { prediction, gold, categoryCode, scores } of cases) {
    const score = metric.score(prediction, { gold, categoryCode });
    expect(score, prediction).toBeCloseTo(scores[name] ?? Number.NaN, 12);
  }
});
