import { parseJson } from "@memory-r1/spec";
import { describe, expect, it } from "vitest";
import { formatCount, formatInterval, formatScore } from "./format-number.ts";
import { renderCsv } from "./render-csv.ts";
import { renderMarkdown } from "./render-markdown.ts";
import { renderText } from "./render-text.ts";
import type { TableData } from "./table.ts";
import { tableSchema } from "./table-schema.ts";

const golden: TableData = {
  title: "LoCoMo, test",
  columns: [
    { key: "system", label: "System", kind: "text" },
    { key: "f1", label: "F1", kind: "score" },
    { key: "f1", label: "95 % interval", kind: "interval" },
    { key: "graded", label: "Graded", kind: "count" },
  ],
  rows: [
    { system: "RAG", f1: 0.20812345678901234, f1Low: 0.18, f1High: 0.2364999, graded: 1307 },
    // Two wide characters and an emoji, each two terminal cells, and a combining accent that takes none.
    { system: "記憶 🧠 é", f1: 0, f1Low: -0.0004, f1High: 1, graded: 0 },
    { system: 'a | b, "c"\nd', f1: undefined, graded: 12 },
  ],
  notes: ["3 questions have no gold answer."],
};

describe("renderText", () => {
  it("aligns words to the left and numbers to the right, in terminal cells", () => {
    expect(renderText(golden)).toBe(
      [
        "LoCoMo, test",
        "System           F1   95 % interval  Graded",
        "────────────  ─────  ──────────────  ──────",
        "RAG           0.208  0.180 to 0.236   1,307",
        "記憶 🧠 é     0.000  0.000 to 1.000       0",
        'a | b, "c" d      –               –      12',
        "Note: 3 questions have no gold answer.",
        "",
      ].join("\n"),
    );
  });

  it("shows a table without rows as such", () => {
    expect(renderText({ ...golden, title: "", rows: [], notes: [] })).toBe(
      [
        "System  F1  95 % interval  Graded",
        "──────  ──  ─────────────  ──────",
        "(no rows)",
        "",
      ].join("\n"),
    );
  });
});

describe("renderMarkdown", () => {
  it("escapes what would break a cell", () => {
    expect(renderMarkdown(golden)).toBe(
      [
        "### LoCoMo, test",
        "",
        "| System | F1 | 95 % interval | Graded |",
        "| :-- | --: | --: | --: |",
        "| RAG | 0.208 | 0.180 to 0.236 | 1,307 |",
        "| 記憶 🧠 é | 0.000 | 0.000 to 1.000 | 0 |",
        '| a \\| b, "c" d | – | – | 12 |',
        "",
        "Note: 3 questions have no gold answer.",
        "",
      ].join("\n"),
    );
  });

  it("says that there are no rows", () => {
    expect(renderMarkdown({ ...golden, title: "", rows: [], notes: [] })).toBe(
      "| System | F1 | 95 % interval | Graded |\n| :-- | --: | --: | --: |\n\nNo rows.\n",
    );
  });
});

describe("renderCsv", () => {
  it("keeps full precision, the column order and missing values as empty fields", () => {
    expect(renderCsv(golden)).toBe(
      [
        "system,f1,f1Low,f1High,graded",
        "RAG,0.20812345678901234,0.18,0.2364999,1307",
        "記憶 🧠 é,0,-0.0004,1,0",
        '"a | b, ""c""',
        'd",,,,12',
        "",
      ].join("\n"),
    );
  });

  it("is a header alone without rows", () => {
    expect(renderCsv({ ...golden, rows: [] })).toBe("system,f1,f1Low,f1High,graded\n");
  });
});

describe("numbers", () => {
  it("tells a missing value from zero", () => {
    expect([formatScore(undefined), formatScore(0)]).toEqual(["–", "0.000"]);
    expect([formatCount(undefined), formatCount(0)]).toEqual(["–", "0"]);
    expect([formatInterval(0.1, undefined), formatInterval(0, 0)]).toEqual(["–", "0.000 to 0.000"]);
  });

  it("writes differences with their sign, and never minus zero", () => {
    expect([formatScore(-0.0121), formatScore(-0.0004), formatScore(-0)]).toEqual([
      "-0.012",
      "0.000",
      "0.000",
    ]);
  });
});

describe("tableSchema", () => {
  it("reads back a table that went through JSON, with a missing cell still missing", () => {
    const read = parseJson(JSON.stringify(golden), tableSchema, "golden");
    expect(renderText(read)).toBe(renderText(golden));
  });

  it("refuses a column of an unknown kind", () => {
    const columns = [{ key: "a", label: "A", kind: "percent" }];
    expect(tableSchema.safeParse({ ...golden, columns }).success).toBe(false);
  });
});
