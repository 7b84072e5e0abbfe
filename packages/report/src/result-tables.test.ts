import { computeWilsonInterval } from "@memory-r1/metrics";
import { graded } from "@memory-r1/spec";
import { describe, expect, it } from "vitest";
import { noGold, recordOf, records } from "./__fixtures__/records.ts";
import { aggregatePredictions } from "./aggregate-predictions.ts";
import { averagesTable } from "./averages-table.ts";
import { categoryTable } from "./category-table.ts";
import { leaderboardTable } from "./leaderboard-table.ts";
import { overallTable } from "./overall-table.ts";
import { renderCsv } from "./render-csv.ts";
import { renderText } from "./render-text.ts";

describe("result tables", () => {
  const rows = aggregatePredictions(records);

  it("shows all questions with one pair of counts where the metrics agree", () => {
    const table = overallTable(rows, {
      title: "Mini set",
      metrics: [
        { name: "f1", label: "F1", showInterval: true },
        { name: "em", label: "EM" },
      ],
    });
    expect(renderText(table)).toBe(
      [
        "Mini set",
        "System  Arm  Questions     F1   95 % interval     EM  Graded  Ungraded",
        "──────  ───  ─────────  ─────  ──────────────  ─────  ──────  ────────",
        "RAG                  3  0.583  0.250 to 1.000  0.333       3         0",
        "GRPO                 3  0.750  0.750 to 0.750  0.500       2         1",
        "",
      ].join("\n"),
    );
  });

  it("shows counts for each metric where they differ", () => {
    const mixed = aggregatePredictions([recordOf("RAG", "a", "4", graded(1), noGold)]);
    const table = overallTable(mixed, {
      title: "",
      metrics: [
        { name: "f1", label: "F1" },
        { name: "em", label: "EM" },
      ],
    });
    expect(renderText(table).split("\n").slice(0, 3)).toEqual([
      "System  Arm  Questions     F1  F1 Graded  F1 Ungraded  EM  EM Graded  EM Ungraded",
      "──────  ───  ─────────  ─────  ─────────  ───────────  ──  ─────────  ───────────",
      "RAG                  1  1.000          1            0   –          0            1",
    ]);
  });

  it("names categories by the scheme asked for, and shows an ungraded cell as a dash", () => {
    const lines = (naming: string) =>
      renderText(categoryTable(rows, { title: "", metric: "f1", naming }))
        .split("\n")
        .slice(0, 4);
    expect(lines("official")).toEqual([
      "System  Arm  multi-hop  single-hop    All",
      "──────  ───  ─────────  ──────────  ─────",
      "RAG              0.375       1.000  0.583",
      "GRPO             0.750           –  0.750",
    ]);
    expect(lines("mem0")[0]).toBe("System  Arm  single-hop  open-domain    All");
    expect(lines("unknown")[0]).toBe("System  Arm      1      4    All");
  });

  it("shows Wilson's interval of a metric whose scores are all 0 or 1", () => {
    const table = overallTable(rows, {
      title: "",
      metrics: [{ name: "em", label: "EM", showInterval: true }],
    });
    expect(renderText(table).split("\n").slice(0, 4)).toEqual([
      "System  Arm  Questions     EM  95 % interval (Wilson)  Graded  Ungraded",
      "──────  ───  ─────────  ─────  ──────────────────────  ──────  ────────",
      // statsmodels 0.15.0: proportion_confint(k, n, method="wilson") of 1 of 3 and 1 of 2.
      "RAG                  3  0.333          0.061 to 0.792       3         0",
      "GRPO                 3  0.500          0.095 to 0.905       2         1",
    ]);
  });

  it("shows the deviation over seeds beside the mean over seeds", () => {
    const seeded = [0.5, 0.25].map((score, seed) => ({
      ...recordOf("RAG", "a", "4", graded(score), graded(1)),
      seed,
    }));
    const seedRows = aggregatePredictions(seeded);
    const metrics = [{ name: "f1", label: "F1" }];
    expect(renderText(overallTable(seedRows, { title: "", metrics })).split("\n")[2]).toMatch(
      /^RAG +2 +1 +0\.375 +0\.177 +2 +0$/,
    );
    const [, , line] = renderText(averagesTable(seedRows, { title: "", metric: "f1" })).split("\n");
    expect(line).toMatch(/^RAG +1 +0\.375 +– +1 +0\.375 +– +2 +0\.375 +0\.177$/);
  });

  const known = aggregatePredictions(
    records.map((one) => ({ ...one, hasCorruptGold: one.questionId === "c" })),
  );
  const clean = aggregatePredictions(
    records.map((one) => ({ ...one, hasCorruptGold: one.questionId === "c" })),
    { knownIssues: "exclude" },
  );

  it("shows the ceiling where gold answers are known to be wrong", () => {
    const metrics = [{ name: "f1", label: "F1" }];
    expect(
      renderText(overallTable([...known, ...clean], { title: "", metrics })).split("\n"),
    ).toEqual([
      "System  Arm  Known gold errors  Questions     F1  Ceiling  Graded  Ungraded",
      "──────  ───  ─────────────────  ─────────  ─────  ───────  ──────  ────────",
      "RAG          include                    3  0.583    0.667       3         0",
      "GRPO         include                    3  0.750    0.667       2         1",
      "RAG          exclude                    2  0.750    1.000       2         0",
      "GRPO         exclude                    2  0.750    1.000       1         1",
      "",
    ]);
    const options = { title: "", metric: "f1", naming: "official" };
    expect(renderText(categoryTable(known, options)).split("\n")).toEqual([
      "System   Arm  multi-hop  single-hop    All",
      "───────  ───  ─────────  ──────────  ─────",
      "RAG               0.375       1.000  0.583",
      "GRPO              0.750           –  0.750",
      "ceiling           0.500       1.000  0.667",
      "",
    ]);
    expect(categoryTable(clean, options).rows.map((row) => row["system"])).toEqual(["RAG", "GRPO"]);
  });

  it("keeps the labels of several aggregations apart", () => {
    const labels = [{ key: "split", label: "Questions of", kind: "text" as const }];
    const first = records.filter((one) => one.categoryCode === "1");
    const both = [
      ...aggregatePredictions(first, { labels: { split: "validation" } }),
      ...aggregatePredictions(records, { labels: { split: "test" } }),
    ];
    const table = categoryTable(both, { title: "", metric: "f1", naming: "mem0", labels });
    expect(renderText(table).split("\n")).toEqual([
      "Questions of  System  Arm  single-hop  open-domain    All",
      "────────────  ──────  ───  ──────────  ───────────  ─────",
      "validation    RAG               0.375            –  0.375",
      "validation    GRPO              0.750            –  0.750",
      "test          RAG               0.375        1.000  0.583",
      "test          GRPO              0.750            –  0.750",
      "",
    ]);
  });

  it("shows a metric averaged over questions and over conversations", () => {
    const table = averagesTable(rows, { title: "", metric: "f1" });
    expect(renderCsv(table)).toBe(
      [
        "system,arm,questions,micro,microLow,microHigh,conversations,macro,macroLow,macroHigh",
        `RAG,,3,${1.75 / 3},0.25,1,2,0.6875,0.375,1`,
        "GRPO,,3,0.75,0.75,0.75,2,0.75,,",
        "",
      ].join("\n"),
    );
  });

  it("writes the leaderboard with every scope, in full precision, ungraded as empty", () => {
    const csv = renderCsv(
      leaderboardTable(aggregatePredictions(records.filter((one) => one.system === "GRPO")), {
        title: "",
      }),
    );
    const columns = "knownIssues,ceiling,conversations,seeds";
    const appended = (name: string) =>
      `${name}WilsonLow,${name}WilsonHigh,${name}Macro,${name}MacroLow,${name}MacroHigh,${name}SeedMean,${name}SeedSd`;
    const { low, high } = computeWilsonInterval(1, 2) ?? {};
    const wilson = `${low},${high}`;
    expect(csv).toBe(
      [
        "system,arm,scope,name:mem0,name:official,questions,f1,f1Low,f1High,f1Graded,f1Ungraded,em,emLow,emHigh,emGraded,emUngraded," +
          `${columns},${appended("f1")},${appended("em")}`,
        `GRPO,,all,,,3,0.75,0.75,0.75,2,1,0.5,0,1,2,1,include,1,2,1,,,0.75,,,0.75,,${wilson},0.5,,,0.5,`,
        `GRPO,,1,single-hop,multi-hop,2,0.75,0.75,0.75,2,0,0.5,0,1,2,0,include,1,1,1,,,0.75,,,0.75,,${wilson},0.5,,,0.5,`,
        "GRPO,,4,open-domain,single-hop,1,,,,0,1,,,,0,1,include,1,1,1,,,,,,,,,,,,,,",
        "",
      ].join("\n"),
    );
  });

  it("names the scopes without known gold errors", () => {
    const table = leaderboardTable([...known, ...clean], { title: "" });
    const rag = table.rows.filter((row) => row["system"] === "RAG");
    expect(rag.map((row) => [row["scope"], row["knownIssues"], row["ceiling"], row["f1"]])).toEqual(
      [
        ["all", "include", 2 / 3, 1.75 / 3],
        ["1", "include", 0.5, 0.375],
        ["4", "include", 1, 1],
        ["all-clean", "exclude", 1, 0.75],
        ["1-clean", "exclude", 1, 0.5],
        ["4-clean", "exclude", 1, 1],
      ],
    );
  });
});
