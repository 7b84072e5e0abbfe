import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseJson } from "@memory-r1/spec";
import { z } from "zod";

/** The folder that holds the repository: three levels above this file, whether source or built. */
export const repositoryRoot = dirname(dirname(dirname(fileURLToPath(import.meta.url))));

const manifestSchema = z.object({ scripts: z.record(z.string(), z.string()) });

/** The scripts of a package.json at the top of a repository, by name. @throws DataFormatError */
export function readScripts(root: string): Readonly<Record<string, string>> {
  const path = join(root, "package.json");
  return parseJson(readFileSync(path, "utf8"), manifestSchema, path).scripts;
}
