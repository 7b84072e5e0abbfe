import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { ConfigError } from "@memory-r1/spec";
import { expect, it } from "vitest";
import { promptHashes, promptNames, renderPrompt } from "./prompts.ts";

const folder = new URL("../../prompts/", import.meta.url);

it("registers every prompt file", () => {
  expect(readdirSync(folder).toSorted()).toEqual(
    promptNames.map((name) => `${name}.md`).toSorted(),
  );
});

it("has the hash of every file for manifests, and so finds every file in order", () => {
  const hashes = promptHashes();
  expect(Object.keys(hashes)).toEqual(promptNames);
  expect(hashes["answer-short"]).toBe(
    createHash("sha256")
      .update(readFileSync(new URL("answer-short.md", folder)))
      .digest("hex"),
  );
});

it("refuses to render without a variable", () => {
  expect(() => renderPrompt("answer-short", { question: "?" })).toThrow(ConfigError);
});
