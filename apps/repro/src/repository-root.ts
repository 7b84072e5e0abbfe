import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { ConfigError } from "@memory-r1/spec";

/**
 * The folder of the repository that holds the module at `moduleUrl`, whether that is a source or a built file:
 * the nearest folder upwards with a pnpm-workspace.yaml. Independent of the current folder.
 * @throws ConfigError if there is none.
 */
export function findRepositoryRoot(moduleUrl: string): string {
  const start = dirname(fileURLToPath(moduleUrl));
  for (let folder = start; ; folder = dirname(folder)) {
    if (existsSync(join(folder, "pnpm-workspace.yaml"))) return folder;
    if (dirname(folder) === folder) {
      throw new ConfigError(
        `No pnpm-workspace.yaml in ${start} or above it: this program runs from a clone of its repository. Clone it and run it there.`,
      );
    }
  }
}
