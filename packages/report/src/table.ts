/**
 * How a column's cells are shown and read.
 * - `text`: words. `count`: a whole number. `score`: a number such as F1 in 0..1 (or a difference of two).
 * - `interval`: a pair of numbers; a row holds them under `<key>Low` and `<key>High` (see intervalKeys).
 */
export type ColumnKind = "text" | "count" | "score" | "interval";

export interface TableColumn {
  /** The field of a row, and the column's name in a CSV file. */
  readonly key: string;
  /** What a person reads at the top of the column. */
  readonly label: string;
  readonly kind: ColumnKind;
}

/** An absent or undefined cell means that there is no such value: it is shown as "–", never as 0. */
export type TableRow = Readonly<Record<string, string | number | undefined>>;

/** A table before anybody has decided how it looks: one value for the terminal, Markdown and CSV. */
export interface TableData {
  readonly title: string;
  readonly columns: readonly TableColumn[];
  readonly rows: readonly TableRow[];
  /** Sentences that belong under the table, such as what the interval means. */
  readonly notes: readonly string[];
}

/** The two fields of a row that hold the ends of an `interval` column. */
export function intervalKeys(key: string): { low: string; high: string } {
  return { low: `${key}Low`, high: `${key}High` };
}
