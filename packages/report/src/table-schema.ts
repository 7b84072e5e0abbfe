import { z } from "zod";
import type { TableData } from "./table.ts";

/** TableData as it is kept in JSON, where an undefined cell is an absent field. */
export const tableSchema: z.ZodType<TableData> = z.strictObject({
  title: z.string(),
  columns: z.array(
    z.strictObject({
      key: z.string(),
      label: z.string(),
      kind: z.enum(["text", "count", "score", "interval"]),
    }),
  ),
  rows: z.array(z.record(z.string(), z.union([z.string(), z.number()]).optional())),
  notes: z.array(z.string()),
});
