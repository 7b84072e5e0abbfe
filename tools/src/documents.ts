import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve, sep } from "node:path";
import { parseMarkdown } from "./markdown.ts";
import { readScripts } from "./repository.ts";

/** Something in a document that is not true of the repository. */
export interface DocumentProblem {
  /** Relative to the repository's root. */
  readonly document: string;
  /** From 1. */
  readonly line: number;
  readonly message: string;
}

/** What a document may name. */
interface Facts {
  readonly root: string;
  readonly scripts: ReadonlySet<string>;
  /** Commands of the `repro` program; undefined while there is none. */
  readonly commands: ReadonlySet<string> | undefined;
}

/** Commands of pnpm itself that a document may name; a script of the same name comes first. */
const pnpmCommands: ReadonlySet<string> = new Set(
  "add audit config dlx exec fetch help import install licenses list ls outdated prune rebuild remove run store up update why".split(
    " ",
  ),
);

/** Begin a path of this repository even where they no longer exist. */
const topFolders: ReadonlySet<string> = new Set([
  "apps",
  "benchmarks",
  "docs",
  "packages",
  "results",
  "tools",
]);

/** Made by builds and runs: never in a fresh clone. */
const generatedFolders: ReadonlySet<string> = new Set(["dist", "node_modules", "runs"]);

/**
 * Checks README.md, AGENTS.md, CONTRIBUTING.md, docs and the README of every package against the repository at `root`:
 * relative links and paths in backticks exist, `pnpm x` is a script or a command of pnpm, `repro x` a command of the program.
 * @throws DataFormatError if package.json cannot be read.
 */
export function findDocumentProblems(root: string): {
  readonly documents: readonly string[];
  readonly problems: readonly DocumentProblem[];
} {
  const documents = listDocuments(root);
  const facts: Facts = {
    root,
    scripts: new Set(Object.keys(readScripts(root))),
    commands: readCommands(join(root, "apps", "repro", "src", "commands")),
  };
  const problems = documents.flatMap((document) => {
    const { codes, links } = parseMarkdown(readFileSync(join(root, document), "utf8"));
    const found: { readonly line: number; readonly message: string | undefined }[] = [
      ...links.map(({ line, text }) => ({ line, message: checkLink(facts, document, text) })),
      ...codes.map(({ line, text }) => ({ line, message: checkCommands(facts, text) })),
      ...codes
        .filter(({ isBlock }) => !isBlock)
        .map(({ line, text }) => ({ line, message: checkPath(facts, document, text) })),
    ];
    return found
      .flatMap(({ line, message }) => (message === undefined ? [] : [{ document, line, message }]))
      .toSorted((left, right) => left.line - right.line);
  });
  return { documents, problems };
}

function listDocuments(root: string): readonly string[] {
  const top = ["README.md", "AGENTS.md", "CONTRIBUTING.md"];
  const inDocs = listFolder(join(root, "docs"), true)
    .filter((name) => name.endsWith(".md"))
    .map((name) => `docs/${name}`);
  const ofPackages = ["packages", "apps"].flatMap((folder) =>
    listFolder(join(root, folder), false).map((name) => `${folder}/${name}/README.md`),
  );
  const others = ["benchmarks/README.md", "results/README.md", "tools/README.md"];
  return [...top, ...inDocs, ...ofPackages, ...others].filter((path) =>
    existsSync(join(root, path)),
  );
}

function listFolder(folder: string, isRecursive: boolean): readonly string[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { recursive: isRecursive, encoding: "utf8" })
    .map((name) => name.split(sep).join("/"))
    .toSorted();
}

/** One file per command, named after it. */
function readCommands(folder: string): ReadonlySet<string> | undefined {
  const names = listFolder(folder, false).filter(
    (name) => name.endsWith(".ts") && !name.includes(".test."),
  );
  return names.length === 0
    ? undefined
    : new Set(names.map((name) => name.slice(0, -".ts".length)));
}

function checkLink(facts: Facts, document: string, target: string): string | undefined {
  const path = target.split("#")[0] ?? "";
  if (path === "" || /^[a-z]+:/i.test(path)) return undefined;
  const isThere = existsSync(resolve(facts.root, dirname(document), decodeURI(path)));
  return isThere ? undefined : `the link to ${path} leads nowhere`;
}

function checkPath(facts: Facts, document: string, code: string): string | undefined {
  const path = code.replace(/:\d+$/, "");
  const folders = [facts.root, join(facts.root, dirname(document))];
  if (!looksLikePath(path, folders)) return undefined;
  // A path with a placeholder stands for many: the folder above it must exist.
  const fixedSegments = path.split("/").slice(0, findPlaceholder(path.split("/")));
  if (fixedSegments.some((segment) => generatedFolders.has(segment))) return undefined;
  const candidates = folders.map((folder) => resolve(folder, fixedSegments.join("/")));
  // What lies beside the repository (data sets, say) is not its own to promise.
  if (candidates.every((candidate) => relative(facts.root, candidate).startsWith("..")))
    return undefined;
  return candidates.some((candidate) => existsSync(candidate)) ? undefined : `there is no ${path}`;
}

function findPlaceholder(segments: readonly string[]): number {
  const index = segments.findIndex((segment) => /[*<>{}]/.test(segment));
  return index === -1 ? segments.length : index;
}

/**
 * Whether a text begins as paths of this repository do: `packages/core`, `src/main.ts` in a package's README, `LICENSE.md`.
 * Not so `application/json`, `/v1/embeddings`, `@scope/name`, and files of other repositories.
 */
function looksLikePath(text: string, folders: readonly string[]): boolean {
  if (!/^[\w.][\w.\-/*<>{},]*$/.test(text)) return false;
  if (!text.includes("/")) return text.endsWith(".md");
  const [first = ""] = text.split("/");
  // `./testing` is an entry point of a package, `./testing.ts` a file.
  if (/^\.\.?$/.test(first)) return /\.\w+$|\/$/.test(text);
  return topFolders.has(first) || folders.some((folder) => existsSync(join(folder, first)));
}

function checkCommands(facts: Facts, code: string): string | undefined {
  for (const line of code.split("\n")) {
    const command = line.trim().replace(/^\$ /, "");
    const pnpm = /(?:^|\s)pnpm(?:@[\d.]+)?(?: -\S+)* (?:run )?([a-z][\w:-]*)/.exec(command);
    const script = pnpm?.[1];
    if (script !== undefined && !facts.scripts.has(script) && !pnpmCommands.has(script)) {
      return `package.json has no script "${script}", and pnpm no such command`;
    }
    const word = /^(?:(?:npx )?(?:-y )?pnpm(?:@[\d.]+)?(?: -\S+)* )?repro ([a-z][\w-]*)/.exec(
      command,
    )?.[1];
    if (word !== undefined && facts.commands !== undefined && !facts.commands.has(word)) {
      return `repro has no command "${word}"`;
    }
  }
  return undefined;
}
