import { createHash } from "node:crypto";
import type { ChatMessage } from "./chat.ts";
import { ConfigError } from "./errors.ts";

/** The prompts of a package by name: each is one file, so that its hash says which words a result rests on. */
export interface PromptLibrary<Name extends string> {
  /**
   * The prompt's messages with every `{{name}}` replaced. Values are inserted as they are: braces or `##` in them mean
   * nothing.
   * @throws ConfigError for a variable that is missing, or one that the file does not use.
   */
  readonly render: (
    name: Name,
    variables: Readonly<Record<string, string>>,
  ) => readonly ChatMessage[];
  /** sha256 of the file's bytes, in lower-case hex. */
  readonly sha256: (name: Name) => string;
  /** sha256 of every prompt by name, for manifests: a changed prompt is a changed experiment. */
  readonly hashes: () => Readonly<Record<string, string>>;
}

interface Prompt {
  readonly sha256: string;
  readonly messages: readonly ChatMessage[];
}

/**
 * @param read gives the bytes of a prompt's file; asked once for each prompt, when it is first needed.
 * Errors of its methods: ConfigError for a file of another form (see {@link parsePrompt}), and what `read` throws.
 */
export function createPromptLibrary<Name extends string>(
  names: readonly Name[],
  read: (name: Name) => Uint8Array,
): PromptLibrary<Name> {
  const loaded = new Map<Name, Prompt>();
  const load = (name: Name): Prompt => {
    const known = loaded.get(name);
    if (known !== undefined) return known;
    const bytes = read(name);
    const prompt = {
      sha256: createHash("sha256").update(bytes).digest("hex"),
      messages: parsePrompt(new TextDecoder().decode(bytes), name),
    };
    loaded.set(name, prompt);
    return prompt;
  };
  return {
    render: (name, variables) => renderMessages(load(name).messages, variables, name),
    sha256: (name) => load(name).sha256,
    hashes: () => Object.fromEntries(names.map((name) => [name, load(name).sha256])),
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
 * Reads a prompt file: an HTML comment with a line `Source: ...` and a line `Variables: a, b.`, then sections
 * `## system`, `## user` and `## assistant`. Variables stand in the last message only, which is the user's: prompts that
 * share all words before them share their computation.
 * @throws ConfigError for another form, and where the variables named are not those used.
 */
export function parsePrompt(text: string, source: string): readonly ChatMessage[] {
  const header = /^<!--[\s\S]*?-->\n/.exec(text)?.[0];
  if (header === undefined) {
    throw new ConfigError(`prompt ${source}: begin the file with a comment <!-- ... -->.`);
  }
  const messages = parseSections(text.slice(header.length), source);
  if (!/^Source: \S/m.test(header)) {
    throw new ConfigError(`prompt ${source}: say in the comment where it is from: "Source: ...".`);
  }
  const variablesOf = (content: string): string[] =>
    [...content.matchAll(/\{\{(\w+)\}\}/g)].map((match) => match[1] ?? "");
  const last = messages.at(-1);
  if (
    last?.role !== "user" ||
    messages.slice(0, -1).some((message) => variablesOf(message.content).length > 0)
  ) {
    throw new ConfigError(
      `prompt ${source}: variables belong into the last message, and that one is the user's.`,
    );
  }
  const used = [...new Set(variablesOf(last.content))];
  const named = /^Variables: (.*)\.$/m.exec(header)?.[1]?.split(", ") ?? [];
  if (used.toSorted().join() !== named.toSorted().join()) {
    throw new ConfigError(
      `prompt ${source}: the comment names the variables ${named.join(", ") || "(none)"}, the text uses ${used.join(", ") || "(none)"}. Make the line "Variables: a, b." say what is used.`,
    );
  }
  return messages;
}

function parseSections(text: string, source: string): ChatMessage[] {
  const parts = text.split(/^## (system|user|assistant)\n/m);
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
