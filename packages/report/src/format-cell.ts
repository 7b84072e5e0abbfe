import { formatCount, formatInterval, formatScore, missingCell } from "./format-number.ts";
import { intervalKeys, type TableColumn, type TableRow } from "./table.ts";

/** The cell as a person reads it, on one line. Used by the terminal and the Markdown table alike. */
export function formatCell(row: TableRow, column: TableColumn): string {
  if (column.kind === "interval") {
    const { low, high } = intervalKeys(column.key);
    return formatInterval(numberAt(row, low), numberAt(row, high));
  }
  const value = row[column.key];
  if (value === undefined) return missingCell;
  if (typeof value === "string") return value.replace(/\s+/gu, " ").trim();
  switch (column.kind) {
    case "text":
      return String(value);
    case "count":
      return formatCount(value);
    case "score":
      return formatScore(value);
  }
}

function numberAt(row: TableRow, key: string): number | undefined {
  const value = row[key];
  return typeof value === "number" ? value : undefined;
}
