import { describe, expect, it } from "vitest";
import { ConfigError } from "./errors.ts";
import { createPromptLibrary, parsePrompt, renderMessages } from "./prompt-library.ts";

const file = [
  "<!--",
  "A prompt.",
  "Source: our own.",
  "Variables: fact, date.",
  "-->",
  "",
  "## system",
  "",
  "Say yes.",
  "",
  "## user",
  "",
  "{{fact}} ({{date}}, {{fact}})",
  "",
].join("\n");

describe("parsePrompt", () => {
  it("reads sections as messages, trimmed", () => {
    expect(parsePrompt(file, "t")).toEqual([
      { role: "system", content: "Say yes." },
      { role: "user", content: "{{fact}} ({{date}}, {{fact}})" },
    ]);
  });

  it.each<[string, string, string]>([
    ["no comment", file.slice(file.indexOf("##")), "begin the file with a comment"],
    [
      "text before the first section",
      file.replace("\n\n## system", "\nhi\n## system"),
      "begin with",
    ],
    ["no section", file.slice(0, file.indexOf("##")), "begin with a line"],
    ["no source", file.replace("Source: our own.\n", ""), "where it is from"],
    [
      "a variable that is not named",
      file.replace("{{date}}", "{{when}}"),
      "the text uses fact, when",
    ],
    [
      "a variable that is not used",
      file.replace("({{date}}, ", "("),
      "names the variables fact, date",
    ],
    ["no line of variables", file.replace("Variables: fact, date.\n", ""), "variables (none)"],
    ["a variable in an earlier message", file.replace("Say yes.", "Say {{fact}}."), "last message"],
    ["an assistant's last message", file.replace("## user", "## assistant"), "the user's"],
    ["nothing", "", "begin the file"],
  ])("refuses a file with %s", (_, text, message) => {
    expect(() => parsePrompt(text, "t")).toThrow(ConfigError);
    expect(() => parsePrompt(text, "t")).toThrow(message);
  });
});

describe("renderMessages", () => {
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
  });

  it("takes an empty value", () => {
    expect(renderMessages(template, { a: "", b: "" }, "t")[0]?.content).toBe(" and  and ");
  });
});

describe("createPromptLibrary", () => {
  it("reads a file once, when it is needed, and hashes its bytes", () => {
    const asked: string[] = [];
    const library = createPromptLibrary(["one", "two"], (name) => {
      asked.push(name);
      return new TextEncoder().encode(name === "one" ? file : "damaged");
    });
    expect(asked).toEqual([]);
    expect(library.render("one", { fact: "tea", date: "May" }).at(-1)?.content).toBe(
      "tea (May, tea)",
    );
    // sha256sum of the file above.
    expect(library.sha256("one")).toBe(
      "1bad6973c8d5daeac9a0039418cffe7f820748c85dd26fb94a10ee1c8edb2906",
    );
    expect(asked).toEqual(["one"]);
    expect(() => library.hashes()).toThrow("prompt two");
  });
});
