import { readFileSync } from "node:fs";
import { createPromptLibrary } from "@memory-r1/spec";

/** Every prompt of a judge is one file of packages/metrics/prompts. */
export const judgePromptNames = [
  "judge-mem0-j",
  "judge-zep-j",
  "judge-dmr",
  "judge-longmemeval-default",
  "judge-longmemeval-temporal-reasoning",
  "judge-longmemeval-knowledge-update",
  "judge-longmemeval-single-session-preference",
  "judge-longmemeval-abstention",
] as const;
export type JudgePromptName = (typeof judgePromptNames)[number];

// Two folders up is the package's root from src/judges and from dist/judges alike.
export const judgePrompts = createPromptLibrary(judgePromptNames, (name) =>
  readFileSync(new URL(`../../prompts/${name}.md`, import.meta.url)),
);

/** sha256 of every judge's prompt file by name: a verdict under other words is another verdict. */
export const judgePromptHashes = judgePrompts.hashes;
