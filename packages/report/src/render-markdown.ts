import { formatCell } from "./format-cell.ts";
import type { TableData } from "./table.ts";

/** The table in GitHub's Markdown, title as a heading of level 3. Ends in a newline. */
export function renderMarkdown(table: TableData): string {
  const line = (texts: readonly string[]): string => `| ${texts.map(escapeCell).join(" | ")} |`;
  const body = [
    line(table.columns.map((column) => column.label)),
    `| ${table.columns.map((column) => (column.kind === "text" ? ":--" : "--:")).join(" | ")} |`,
    ...table.rows.map((row) => line(table.columns.map((column) => formatCell(row, column)))),
  ].join("\n");
  const parts = [
    ...(table.title === "" ? [] : [`### ${table.title}`]),
    body,
    ...(table.rows.length === 0 ? ["No rows."] : []),
    ...table.notes.map((note) => `Note: ${note}`),
  ];
  return `${parts.join("\n\n")}\n`;
}

function escapeCell(text: string): string {
  return text.replaceAll("\\", "\\\\").replaceAll("|", "\\|");
}
