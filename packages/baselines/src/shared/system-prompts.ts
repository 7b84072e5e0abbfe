import { readdirSync, readFileSync } from "node:fs";
import { createPromptLibrary, type PromptLibrary } from "@memory-r1/spec";

// Two folders up is the package's root from src/shared and from dist/shared alike.
const folder = new URL("../../prompts/", import.meta.url);

/** The prompts of one system: each is a file `<name>.md` of packages/baselines/prompts. */
export function createSystemPrompts<Name extends string>(
  names: readonly Name[],
): PromptLibrary<Name> {
  return createPromptLibrary(names, (name) => readFileSync(new URL(`${name}.md`, folder)));
}

/** sha256 of every prompt file of this package by name, for manifests: a changed prompt is a changed experiment. */
export function baselinePromptHashes(): Readonly<Record<string, string>> {
  const names = readdirSync(folder)
    .filter((file) => file.endsWith(".md"))
    .map((file) => file.slice(0, -".md".length))
    .toSorted();
  return createSystemPrompts(names).hashes();
}
