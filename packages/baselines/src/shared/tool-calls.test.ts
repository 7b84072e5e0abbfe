import { parseJson } from "@memory-r1/spec";
import { describe, expect, it } from "vitest";
import { z } from "zod";
import {
  createTool,
  describeTools,
  done,
  parseToolCall,
  toolCallConstraint,
  wholeNumber,
} from "./tool-calls.ts";

const note = createTool({
  name: "note",
  description: "Writes a note.",
  parameters: z.strictObject({
    text: z.string().describe("What to write."),
    place: z.enum(["top", "end"]).describe("Where."),
    page: wholeNumber.nullish().describe("Page, from 0."),
  }),
  run: ({ text, place, page }, written: string[]) => {
    written.push(`${place}/${page ?? "none"}: ${text}`);
    return done("written");
  },
});

describe("tool calls", () => {
  it("describes functions and parameters, a line each", () => {
    expect(describeTools([note])).toBe(
      [
        "- note: Writes a note.",
        "    text (string): What to write.",
        '    place ("top" or "end"): Where.',
        "    page (integer, optional): Page, from 0.",
      ].join("\n"),
    );
  });

  it("holds a reply to one of the functions, keys in order and texts of limited length", () => {
    const { type, value } = toolCallConstraint([note], 100);
    expect(type).toBe("json_schema");
    expect(parseJson(value, z.unknown(), "the constraint")).toEqual({
      anyOf: [
        {
          type: "object",
          properties: {
            thoughts: { type: "string", maxLength: 100 },
            function: { const: "note" },
            arguments: {
              type: "object",
              properties: {
                text: { type: "string", maxLength: 100, description: "What to write." },
                place: { type: "string", enum: ["top", "end"], description: "Where." },
                page: {
                  description: "Page, from 0.",
                  anyOf: [
                    { type: "integer", minimum: 0, maximum: Number.MAX_SAFE_INTEGER },
                    { type: "null" },
                  ],
                },
              },
              required: ["text", "place"],
              additionalProperties: false,
            },
          },
          required: ["thoughts", "function", "arguments"],
          additionalProperties: false,
        },
      ],
    });
  });

  it.each([
    [{ text: "é🦜", place: "top" }, "top/none: é🦜"],
    [{ text: "", place: "end", page: null }, "end/none: "],
    [{ text: "a", place: "end", page: "2" }, "end/2: a"],
  ])("runs with right arguments: %j", async (given, expected) => {
    const written: string[] = [];
    expect(await note.run(given, written)).toEqual({ status: "done", output: "written" });
    expect(written).toEqual([expected]);
  });

  it.each([
    [{ place: "top" }, "at text"],
    [{ text: "a", place: "middle" }, "at place"],
    [{ text: "a", place: "top", page: -1 }, "at page"],
    [{ text: "a", place: "top", colour: "red" }, "colour"],
    [[], "wrong arguments"],
  ])("fails with a reason for wrong ones, and does nothing: %j", async (given, where) => {
    const written: string[] = [];
    const result = await note.run(given, written);
    expect(result.status === "failed" ? result.reason : "").toContain(where);
    expect(written).toEqual([]);
  });

  it("reads a call with text around it, and with or without thoughts", () => {
    const call = { name: "note", arguments: { text: "a } b" }, thoughts: "" };
    const text = '{"function": "note", "arguments": {"text": "a } b"}}';
    expect(parseToolCall(text)).toEqual({ status: "call", call });
    expect(parseToolCall(`\`\`\`json\n${text}\n\`\`\` done`)).toEqual({ status: "call", call });
  });

  it("tells a text from a broken call", () => {
    expect(parseToolCall("I will remember that.")).toEqual({ status: "text" });
    expect(parseToolCall("")).toEqual({ status: "text" });
    for (const broken of [
      '{"function": "note", "argu',
      "{}",
      '{"function": 1, "arguments": {}}',
      "{",
    ]) {
      expect(parseToolCall(broken).status).toBe("unparsable");
    }
  });
});
