import { readFileSync } from "node:fs";
import { createPromptLibrary } from "@memory-r1/spec";

/** Every prompt is one file of packages/core/prompts, a chat whose roles are `## role` lines. */
export const promptNames = [
  "manager-mem0-json",
  "manager-compact",
  "answer-distill",
  "answer-short",
] as const;
export type PromptName = (typeof promptNames)[number];

// Two folders up is the package's root from src/prompts and from dist/prompts alike.
const library = createPromptLibrary(promptNames, (name) =>
  readFileSync(new URL(`../../prompts/${name}.md`, import.meta.url)),
);

/** The messages of a prompt. @throws ConfigError for a variable that is missing, or one that the file does not use. */
export const renderPrompt = library.render;

/** sha256 of every prompt file, for manifests: a changed prompt is a changed experiment. */
export const promptHashes = library.hashes;
