import { join } from "node:path";
import { defaultCacheDirectory, findPython } from "@memory-r1/engine";
import { preparePeerEnvironment } from "./peer-environment.ts";

/** Where the metrics' definitions in Python lie, with the list of what they need. */
export function referenceDirectory(repositoryRoot: string): string {
  return join(repositoryRoot, "benchmarks", "metrics-differential");
}

/** A Python with NLTK, regex and rouge_score, in the user's cache; installed where it is missing. @throws ConfigError */
export async function prepareReferencePython(
  repositoryRoot: string,
  write: (line: string) => void,
): Promise<string> {
  const interpreter = await findPython();
  return preparePeerEnvironment({
    name: "metrics",
    requirements: join(referenceDirectory(repositoryRoot), "requirements.txt"),
    cacheDirectory: defaultCacheDirectory(),
    python: interpreter.executable,
    pythonVersion: interpreter.version,
    write,
  });
}
