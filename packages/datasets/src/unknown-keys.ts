import type { z } from "zod";

/** Keys of a value that its schema does not name: data that would else go unread in silence. */
export function unknownKeys(value: object, schema: z.ZodObject): string[] {
  const known = Object.keys(schema.shape);
  return Object.keys(value).filter((key) => !known.includes(key));
}
