import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { parseJson } from "@memory-r1/spec";
import { z } from "zod";

const rootPackageSchema = z.object({
  version: z.string(),
  engines: z.object({ node: z.string().regex(/^>=\d+\.\d+/) }),
  packageManager: z.string().regex(/^pnpm@\d/),
});

/** What the repository says about itself in its package.json: the only place where these facts are kept. */
export interface ProjectFacts {
  readonly version: string;
  /** `major.minor` of the oldest Node.js that will do. */
  readonly minimumNodeVersion: string;
  readonly pnpmVersion: string;
}

/** @throws DataFormatError if the package.json of the repository does not say them. */
export async function readProjectFacts(repositoryRoot: string): Promise<ProjectFacts> {
  const file = join(repositoryRoot, "package.json");
  const { version, engines, packageManager } = parseJson(
    await readFile(file, "utf8"),
    rootPackageSchema,
    file,
  );
  return {
    version,
    minimumNodeVersion: engines.node.replace(">=", ""),
    // A pin may end in `+sha512.…`.
    pnpmVersion: packageManager.replace(/^pnpm@/, "").replace(/\+.*$/, ""),
  };
}
