import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parseJson } from "@memory-r1/spec";
import { describe, expect, it } from "vitest";
import { z } from "zod";
import { computeScoreCeiling, hasCorruptGold } from "./score-ceiling.ts";

const issue = (scoreCorrupting: boolean) => ({
  kind: "TEMPORAL_ERROR",
  scoreCorrupting,
  source: "x",
});

describe("hasCorruptGold", () => {
  it("asks for a finding that changes scores", () => {
    expect(hasCorruptGold({})).toBe(false);
    expect(hasCorruptGold({ knownIssues: [issue(false)] })).toBe(false);
    expect(hasCorruptGold({ knownIssues: [issue(false), issue(true)] })).toBe(true);
  });
});

describe("computeScoreCeiling", () => {
  it("is the share that is right, and undefined of nothing", () => {
    expect(computeScoreCeiling([true, false, false, false])).toBe(0.75);
    expect(computeScoreCeiling([false])).toBe(1);
    expect(computeScoreCeiling([])).toBeUndefined();
  });
});

// The audit's findings and the questions' counts, by other code. Both lie beside the repository, not in it.
const golden = new URL("../../../../shared/golden/metrics/", import.meta.url);
const auditFile = fileURLToPath(new URL("locomo_known_issue_ids.json", golden));
const factsFile = fileURLToPath(new URL("locomo_dataset_facts.json", golden));
const isMissing = !existsSync(auditFile) || !existsSync(factsFile);
const note = isMissing ? " (skipped: no ../shared beside the repository)" : "";

describe.skipIf(isMissing)(`the ceilings of LoCoMo${note}`, () => {
  const audit = isMissing
    ? []
    : parseJson(
        readFileSync(auditFile, "utf8"),
        z.object({
          locomo_audit_9493fb4: z.array(
            z.object({
              sample_id: z.string(),
              category: z.number(),
              score_corrupting: z.boolean(),
            }),
          ),
        }),
        auditFile,
      ).locomo_audit_9493fb4;
  const ceilingOf = (total: number, isMeant: (one: (typeof audit)[number]) => boolean) => {
    const corrupt = audit.filter((one) => one.score_corrupting && isMeant(one)).length;
    return computeScoreCeiling(Array.from({ length: total }, (_, index) => index < corrupt));
  };
  const isTest = (sampleId: string) => sampleId !== "conv-26" && sampleId !== "conv-30";

  it.each([
    [1, 282, 90.07],
    [2, 321, 91.9],
    [3, 96, 90.62],
    [4, 841, 95.72],
  ])("category %i of %i questions: %f %%", (category, total, percent) => {
    const ceiling = ceilingOf(total, (one) => one.category === category) ?? 0;
    // 87/96 = 90.625 exactly: within half a unit of the last digit that was published.
    expect(Math.abs(ceiling * 100 - percent)).toBeLessThanOrEqual(0.005 + 1e-9);
  });

  it("all 1,540: 93.57 %; test split of 1,307: 93.88 %", () => {
    expect(((ceilingOf(1540, () => true) ?? 0) * 100).toFixed(2)).toBe("93.57");
    const test = ceilingOf(1307, (one) => isTest(one.sample_id));
    expect(((test ?? 0) * 100).toFixed(2)).toBe("93.88");
  });
});
