import { stringify } from "csv-stringify/sync";
import { intervalKeys, type TableData } from "./table.ts";

/**
 * The table as CSV (RFC 4180 quoting, `\n` line ends): a header of column keys, then the rows with numbers in full
 * precision. Column order is the table's; an interval is two columns, `<key>Low` and `<key>High`. A missing value is
 * an empty field. Title and notes are not part of it.
 */
export function renderCsv(table: TableData): string {
  const keys = table.columns.flatMap((column) => {
    if (column.kind !== "interval") return [column.key];
    const { low, high } = intervalKeys(column.key);
    return [low, high];
  });
  return stringify(
    table.rows.map((row) => keys.map((key) => row[key] ?? "")),
    { header: true, columns: keys },
  );
}
