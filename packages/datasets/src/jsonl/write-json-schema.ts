/** Writes the JSON Schema files of `schema/` anew: `pnpm --filter @memory-r1/datasets schema`. */
import { writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { createJsonlSchemas } from "./json-schema.ts";

for (const [name, schema] of Object.entries(createJsonlSchemas())) {
  const file = fileURLToPath(new URL(`../../schema/${name}`, import.meta.url));
  writeFileSync(file, `${JSON.stringify(schema, null, 2)}\n`);
}
