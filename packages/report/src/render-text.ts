import stringWidth from "string-width";
import { formatCell } from "./format-cell.ts";
import type { TableData } from "./table.ts";

const gap = "  ";

/**
 * The table for a terminal: words to the left, numbers to the right, columns as wide as their widest cell
 * (in terminal cells, so that wide and combining characters line up). Ends in a newline.
 */
export function renderText(table: TableData): string {
  const cells = table.rows.map((row) => table.columns.map((column) => formatCell(row, column)));
  const widths = table.columns.map((column, index) =>
    Math.max(stringWidth(column.label), ...cells.map((row) => stringWidth(row[index] ?? ""))),
  );
  const line = (texts: readonly string[]): string =>
    table.columns
      .map((column, index) => {
        const text = texts[index] ?? "";
        const padding = " ".repeat(Math.max(0, (widths[index] ?? 0) - stringWidth(text)));
        return column.kind === "text" ? text + padding : padding + text;
      })
      .join(gap)
      .trimEnd();
  const lines = [
    ...(table.title === "" ? [] : [table.title]),
    line(table.columns.map((column) => column.label)),
    widths.map((width) => "─".repeat(width)).join(gap),
    ...(cells.length === 0 ? ["(no rows)"] : cells.map(line)),
    ...table.notes.map((note) => `Note: ${note}`),
  ];
  return `${lines.join("\n")}\n`;
}
