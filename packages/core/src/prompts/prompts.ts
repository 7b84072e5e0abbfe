import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { type ChatMessage, ConfigError } from "@memory-r1/spec";

/** Every prompt is one file of packages/core/prompts, a chat whose roles are `## role` lines. */
export const promptNames = [
  "manager-mem0-json",
  "manager-compact",
  "answer-distill",
  "answer-short",
] as const;
export type PromptName = (typeof promptNames)[number];

interface PromptFile {
  /** sha256 of the file's bytes, in lower-case hex. */
  readonly sha256: string;
  readonly messages: readonly ChatMessage[];
}

const loaded = new Map<PromptName, PromptFile>();

/**
 * The prompt's messages with every `{{name}}` replaced. Values are inserted as they are: braces or `##` in them mean
 * nothing.
 * @throws ConfigError for a variable that is missing, or one that the file does not use.
 */
export function renderPrompt(
  name: PromptName,
  variables: Readonly<Record<string, string>>,
): readonly ChatMessage[] {
  return renderMessages(loadPrompt(name).messages, variables, name);
}

/** sha256 of every prompt file, for manifests: a changed prompt is a changed experiment. */
export function promptHashes(): Readonly<Record<PromptName, string>> {
  return {
    "manager-mem0-json": loadPrompt("manager-mem0-json").sha256,
    "manager-compact": loadPrompt("manager-compact").sha256,
    "answer-distill": loadPrompt("answer-distill").sha256,
    "answer-short": loadPrompt("answer-short").sha256,
  };
}

/** Replaces `{{name}}` in every message. `source` is named in errors. @throws ConfigError */
export function renderMessages(
  messages: readonly ChatMessage[],
  variables: Readonly<Record<string, string>>,
  source: string,
): readonly ChatMessage[] {
  const unused = new Set(Object.keys(variables));
  const rendered = messages.map(({ role, content }) => ({
    role,
    content: content.replaceAll(/\{\{(\w+)\}\}/g, (_, variable: string) => {
      const value = variables[variable];
      if (value === undefined) {
        throw new ConfigError(
          `prompt ${source}: no value for {{${variable}}}. Pass it, or take it out of the file.`,
        );
      }
      unused.delete(variable);
      return value;
    }),
  }));
  if (unused.size === 0) return rendered;
  throw new ConfigError(
    `prompt ${source}: it does not use ${[...unused].join(", ")}. Use it in the file, or do not pass it.`,
  );
}

/**
 * Reads a prompt file: an HTML comment (source and variables), then `## system`, `## user` and `## assistant` sections.
 * @throws ConfigError where there is no comment or no section.
 */
export function parsePrompt(text: string, source: string): readonly ChatMessage[] {
  const withoutHeader = /^<!--[\s\S]*?-->\n/.exec(text);
  if (withoutHeader === null) {
    throw new ConfigError(`prompt ${source}: begin the file with a comment <!-- ... -->.`);
  }
  const parts = text.slice(withoutHeader[0].length).split(/^## (system|user|assistant)\n/m);
  if (parts[0]?.trim() !== "" || parts.length < 3) {
    throw new ConfigError(
      `prompt ${source}: after the comment, begin with a line "## system", "## user" or "## assistant".`,
    );
  }
  const messages: ChatMessage[] = [];
  for (let index = 1; index < parts.length; index += 2) {
    messages.push({
      role: parseRole(parts[index], source),
      content: (parts[index + 1] ?? "").trim(),
    });
  }
  return messages;
}

function parseRole(role: string | undefined, source: string): ChatMessage["role"] {
  if (role === "system" || role === "user" || role === "assistant") return role;
  throw new ConfigError(`prompt ${source}: "${role}" is no role of a chat.`);
}

function loadPrompt(name: PromptName): PromptFile {
  const known = loaded.get(name);
  if (known !== undefined) return known;
  // Two folders up is the package's root from src/prompts and from dist/prompts alike.
  const bytes = readFileSync(new URL(`../../prompts/${name}.md`, import.meta.url));
  const prompt = {
    sha256: createHash("sha256").update(bytes).digest("hex"),
    messages: parsePrompt(bytes.toString("utf8"), name),
  };
  loaded.set(name, prompt);
  return prompt;
}
