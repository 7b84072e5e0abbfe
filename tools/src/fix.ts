/** `pnpm fix`: repairs what can be repaired by a machine. Exit code 1 if something is left for a person. */
import { readScripts, repositoryRoot } from "./repository.ts";
import { runSteps } from "./run-steps.ts";

const failed = await runSteps({
  // Scripts of package.json. Formatting comes last: the repairs before it leave lines as they come.
  names: ["lint:fix", "versions:fix", "python:lint:fix", "python:format:fix", "format:fix"],
  scripts: readScripts(repositoryRoot),
  directory: repositoryRoot,
  environment: process.env,
  write: (text) => process.stdout.write(text),
});
process.exitCode = failed.length === 0 ? 0 : 1;
