/** `pnpm check`: everything that must hold before a commit, except the tests. Exit code 1 if a step failed. */
import { readScripts, repositoryRoot } from "./repository.ts";
import { runSteps } from "./run-steps.ts";

/** Scripts of package.json. The build comes first: type-aware lint rules read the types that it writes. */
const names = [
  "build",
  "format:check",
  "lint",
  "boundaries",
  "unused",
  "versions",
  "docs:check",
  "python:prepare",
  "python:format",
  "python:lint",
  "python:types",
] as const;

const failed = await runSteps({
  names,
  scripts: readScripts(repositoryRoot),
  directory: repositoryRoot,
  environment: process.env,
  write: (text) => process.stdout.write(text),
});
console.log(
  failed.length === 0
    ? `check: all ${names.length} steps ok`
    : `check: ${failed.length} of ${names.length} steps failed: ${failed.join(", ")}`,
);
process.exitCode = failed.length === 0 ? 0 : 1;
