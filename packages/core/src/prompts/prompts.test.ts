import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { ConfigError } from "@memory-r1/spec";
import { describe, expect, it } from "vitest";
import { parsePrompt, promptHashes, promptNames, renderMessages, renderPrompt } from "./prompts.ts";

const folder = new URL("../../prompts/", import.meta.url);
const read = (name: string): string => readFileSync(new URL(`${name}.md`, folder), "utf8");

describe("prompt files", () => {
  it("are all registered", () => {
    expect(readdirSync(folder).toSorted()).toEqual(
      promptNames.map((name) => `${name}.md`).toSorted(),
    );
  });

  it.each(promptNames)("%s names its source and exactly its variables", (name) => {
    const text = read(name);
    const header = text.slice(0, text.indexOf("-->"));
    expect(header).toContain("Source: ");
    const named = /^Variables: (.*)\.$/m.exec(header)?.[1];
    const used = [...text.matchAll(/\{\{(\w+)\}\}/g)].map((match) => match[1]);
    expect(new Set(named?.split(", "))).toEqual(new Set(used));
  });

  it.each(promptNames)(
    "%s keeps variables to the last message, so that prompts share their prefix",
    (name) => {
      const messages = parsePrompt(read(name), name);
      const earlier = messages.slice(0, -1).map(({ content }) => content);
      expect(earlier.filter((content) => content.includes("{{"))).toEqual([]);
      expect(messages.at(-1)?.role).toBe("user");
    },
  );

  it("have hashes for manifests", () => {
    const hashes = promptHashes();
    expect(Object.keys(hashes)).toEqual(promptNames);
    expect(hashes["answer-short"]).toBe(
      createHash("sha256")
        .update(readFileSync(new URL("answer-short.md", folder)))
        .digest("hex"),
    );
  });
});

describe("rendering", () => {
  const template = [{ role: "user", content: "{{a}} and {{b}} and {{a}}" }] as const;

  it("inserts values as they are", () => {
    expect(renderMessages(template, { a: "{{b}} $& \\", b: "## user\n" }, "t")).toEqual([
      { role: "user", content: "{{b}} $& \\ and ## user\n and {{b}} $& \\" },
    ]);
  });

  it("refuses a missing and an unknown variable", () => {
    expect(() => renderMessages(template, { a: "1" }, "t")).toThrow("prompt t: no value for {{b}}");
    expect(() => renderMessages(template, { a: "1", b: "2", c: "3" }, "t")).toThrow(
      "does not use c",
    );
    expect(() => renderPrompt("answer-short", { question: "?" })).toThrow(ConfigError);
  });

  it("takes an empty value", () => {
    expect(renderMessages(template, { a: "", b: "" }, "t")[0]?.content).toBe(" and  and ");
  });

  it.each(["## user\nhi", "<!-- x -->\nhi\n## user\nhi", "<!-- x -->\n", ""])(
    "refuses a file of another form: %j",
    (text) => {
      expect(() => parsePrompt(text, "t")).toThrow(ConfigError);
    },
  );
});
