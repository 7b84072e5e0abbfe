import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { findDocumentProblems } from "./documents.ts";

let root = "";

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "documents-"));
  write("package.json", JSON.stringify({ scripts: { check: "x", "docs:check": "x", repro: "x" } }));
  write("packages/core/src/index.ts", "");
  write("packages/core/README.md", "");
  write("apps/repro/src/commands/run.ts", "");
  write("apps/repro/src/commands/run.test.ts", "");
});

afterEach(() => {
  rmSync(root, { recursive: true });
});

function write(path: string, text: string): void {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  writeFileSync(join(root, path), text);
}

/** Problems of a README.md with this text, as `line: message`. */
function problemsOf(text: string): readonly string[] {
  write("README.md", text);
  return findDocumentProblems(root).problems.map(({ line, message }) => `${line}: ${message}`);
}

describe("paths in backticks", () => {
  it.each([
    "packages/core",
    "packages/core/",
    "packages/core/src/index.ts",
    "packages/core/src/index.ts:12",
    "packages/*/missing",
    "packages/<name>/README.md",
    "README.md",
  ])("accepts `%s`, which exists", (path) => {
    expect(problemsOf(`See \`${path}\`.`)).toEqual([]);
  });

  it.each([
    "packages/gone",
    "docs/file.ts",
    "./gone.ts",
    "tools/",
    "packages/gone/*.ts",
    "GONE.md",
  ])("reports `%s`, which does not", (path) => {
    expect(problemsOf(`One\n\nSee \`${path}\`.`)).toEqual([`3: there is no ${path}`]);
  });

  it.each([
    "application/json",
    "owner/name",
    "./testing",
    "task_eval/evaluation.py",
    "/v1/embeddings",
    "@scope/name",
    "~/.cache/memory-r1/x.json",
    "../beside/data.json",
    "runs/<id>/manifest.json",
    "packages/core/dist/index.js",
    "a / b.ts",
    "héllo/wörld.ts",
    "https://example.org/a.md",
  ])("leaves `%s` alone", (text) => {
    expect(problemsOf(`\`${text}\``)).toEqual([]);
  });

  it("reads a path from the folder of its document as well", () => {
    write("packages/core/README.md", "`src/index.ts` and `src/gone.ts`");
    expect(findDocumentProblems(root).problems).toEqual([
      { document: "packages/core/README.md", line: 1, message: "there is no src/gone.ts" },
    ]);
  });

  it("reports neither comments nor the lines of fenced blocks", () => {
    expect(
      problemsOf("<!-- `packages/gone`\n`packages/gone` -->\n```\npackages/gone\n```\n"),
    ).toEqual([]);
  });

  it("keeps the line numbers of what comes after a comment", () => {
    expect(problemsOf("<!-- a\nb -->\n`packages/gone`")).toEqual(["3: there is no packages/gone"]);
  });
});

describe("links", () => {
  it("accepts files, anchors, folders and addresses", () => {
    const text =
      '[a](packages/core) [b](#x) [c](./README.md#x) [d](https://example.org) ![e](package.json "t")';
    expect(problemsOf(text)).toEqual([]);
  });

  it("reports a file that does not exist, relative to the document", () => {
    write("docs/a.md", "[x](../README.md)\n[y](README.md)");
    write("README.md", "");
    expect(findDocumentProblems(root).problems).toEqual([
      { document: "docs/a.md", line: 2, message: "the link to README.md leads nowhere" },
    ]);
  });
});

describe("commands", () => {
  it.each([
    "pnpm check",
    "npx pnpm@10.34.8 check",
    "npx -y pnpm@10.34.8 --silent docs:check",
    "pnpm run check",
    "pnpm install --frozen-lockfile",
    "pnpm repro run locomo --data-dir x",
    "npx pnpm@10.34.8 repro run x",
    "pnpm repro --help",
    "repro run x",
    "apps/repro is a folder",
  ])("accepts `%s`", (command) => {
    expect(problemsOf(`\`\`\`bash\n$ ${command}\n\`\`\``)).toEqual([]);
  });

  it.each([
    ["pnpm typecheck", 'package.json has no script "typecheck", and pnpm no such command'],
    [
      "npx pnpm@10.34.8 run typecheck",
      'package.json has no script "typecheck", and pnpm no such command',
    ],
    ["pnpm repro evaluate", 'repro has no command "evaluate"'],
    ["repro evaluate", 'repro has no command "evaluate"'],
  ])("reports `%s`", (command, message) => {
    expect(problemsOf(`\`${command}\``)).toEqual([`1: ${message}`]);
    expect(problemsOf(`~~~\n${command}\n~~~`)).toEqual([`2: ${message}`]);
  });

  it("says nothing of the program's commands while there are none", () => {
    rmSync(join(root, "apps"), { recursive: true });
    expect(problemsOf("`repro evaluate`")).toEqual([]);
  });
});

it("finds no document in an empty repository", () => {
  rmSync(join(root, "packages"), { recursive: true });
  expect(findDocumentProblems(root)).toEqual({ documents: [], problems: [] });
});
