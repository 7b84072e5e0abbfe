import { type MemoryEntry, type MemoryOperation, parseJson } from "@memory-r1/spec";
import { describe, expect, it } from "vitest";
import { z } from "zod";
import { compactFormat } from "./compact.ts";
import { mem0JsonFormat } from "./mem0-json.ts";
import { managerFormats } from "./registry.ts";

const shownMemory = (id: string, text: string): MemoryEntry => ({
  id,
  text,
  participant: "Leo",
  sourceTurnIds: [],
  createdAt: "",
  updatedAt: "",
  history: [],
});

/** Bank ids that equal no label, so that a label taken for an id is seen. */
const shown = [shownMemory("17", "Leo likes cheese pizza"), shownMemory("42", "Leo has a cat")];
const input = { fact: { text: "Leo likes chicken pizza", participant: "Leo" }, date: "1 May 2024" };

const parsed = (...operations: readonly MemoryOperation[]) => ({ status: "parsed", operations });

describe("compact", () => {
  it.each<[string, MemoryOperation]>([
    ["ADD: Leo sings 🎵", { kind: "ADD", text: "Leo sings 🎵" }],
    ["\n  ADD:Leo: a singer\n", { kind: "ADD", text: "Leo: a singer" }],
    [
      "UPDATE 1: Leo likes cheese and chicken pizza",
      { kind: "UPDATE", id: "17", text: "Leo likes cheese and chicken pizza" },
    ],
    ["UPDATE 2: x", { kind: "UPDATE", id: "42", text: "x" }],
    ["DELETE 2", { kind: "DELETE", id: "42" }],
    ["NOOP", { kind: "NOOP" }],
    ["ADD: DELETE 2", { kind: "ADD", text: "DELETE 2" }],
  ])("reads %j", (text, operation) => {
    expect(compactFormat.parse(text, shown)).toEqual(parsed(operation));
  });

  it.each([
    ["", "empty"],
    [" \n ", "empty"],
    ["ADD:  ", "ADD without a text"],
    ["UPDATE 1", "UPDATE without a text"],
    ["UPDATE 1: ", "UPDATE without a text"],
    ["UPDATE 0: x", "memory 0 was not shown"],
    ["UPDATE 3: x", "memory 3 was not shown"],
    ["UPDATE 17: a bank id", "memory 17 was not shown"],
    ["DELETE 3", "memory 3 was not shown"],
    ["DELETE 1: x", "DELETE with a text"],
    ["DELETE", "no line of the form"],
    ["NOOP: nothing new", "no line of the form"],
    ["add: x", "no line of the form"],
    ["Sure! Leo likes pizza.", "no line of the form"],
    ["ADD: x\nDELETE 1", "2 lines"],
  ])("counts %j as unparsable", (text, reason) => {
    expect(compactFormat.parse(text, shown)).toEqual({
      status: "unparsable",
      reason: expect.stringContaining(reason),
    });
  });

  it("offers ADD and NOOP alone where nothing is shown", () => {
    expect(compactFormat.constraint(0)).toEqual({
      type: "regex",
      value: "(ADD: \\S[^\\r\\n]{0,239}|NOOP)",
    });
    expect(compactFormat.constraint(2)).toEqual({
      type: "regex",
      value: "(ADD: \\S[^\\r\\n]{0,239}|NOOP|UPDATE (1|2): \\S[^\\r\\n]{0,239}|DELETE (1|2))",
    });
  });

  it("has a grammar that allows what parse reads and nothing that it does not", () => {
    // The grammar uses only what Rust and JavaScript write alike.
    const grammar = new RegExp(`^(?:${compactFormat.constraint(2).value})$`, "u");
    const allowed = ["ADD: é", "NOOP", "UPDATE 2: a b", "DELETE 1", `ADD: ${"x".repeat(240)}`];
    expect(allowed.filter((text) => !grammar.test(text))).toEqual([]);
    expect(allowed.map((text) => compactFormat.parse(text, shown).status)).toEqual(
      allowed.map(() => "parsed"),
    );
    const refused = [
      "ADD: ",
      "ADD:  x",
      "ADD: a\nb",
      "UPDATE 3: x",
      "DELETE 0",
      "NOOP.",
      "",
      `ADD: ${"x".repeat(241)}`,
    ];
    expect(refused.filter((text) => grammar.test(text))).toEqual([]);
  });

  it("keeps a memory with a line break on one line", () => {
    const messages = compactFormat.messages({
      ...input,
      shown: [shownMemory("3", "one\n2. two")],
      fact: { text: "three\r\nfour", participant: "Leo" },
    });
    expect(messages.at(-1)?.content).toBe("Memories:\n1. one 2. two\nNew fact: three four");
  });
});

describe("mem0-json", () => {
  const reply = (...memory: readonly object[]): string => JSON.stringify({ memory });

  it.each<[string, string, readonly MemoryOperation[]]>([
    [
      "ADD",
      reply({ id: "2", text: "Leo sings", event: "ADD" }),
      [{ kind: "ADD", text: "Leo sings" }],
    ],
    [
      "UPDATE beside NONE",
      reply(
        { id: "0", text: "both pizzas", event: "UPDATE", old_memory: "Leo likes cheese pizza" },
        { id: "1", text: "Leo has a cat", event: "NONE" },
      ),
      [{ kind: "UPDATE", id: "17", text: "both pizzas" }],
    ],
    [
      "several, in order, ids as numbers",
      reply({ id: 1, event: "DELETE" }, { text: " new ", event: "ADD" }),
      [
        { kind: "DELETE", id: "42" },
        { kind: "ADD", text: "new" },
      ],
    ],
    ["NONE alone", reply({ id: "0", text: "x", event: "NONE" }), [{ kind: "NOOP" }]],
    ["an empty list", reply(), [{ kind: "NOOP" }]],
    [
      "a fence and talk around",
      `Here it is:\n\`\`\`json\n${reply({ id: "1", event: "DELETE", text: "{}" })}\n\`\`\`\nDone.`,
      [{ kind: "DELETE", id: "42" }],
    ],
  ])("reads %s", (_, text, operations) => {
    expect(mem0JsonFormat.parse(text, shown)).toEqual(parsed(...operations));
  });

  it.each([
    ["nothing", "", "no JSON object"],
    ["prose", "Leo likes pizza.", "no JSON object"],
    ["cut off", '{"memory":[{"id":"0","text":"x"', "no JSON object"],
    ["cut off after an object", '{"memory":[{"id":"0","event":"NONE"}', "not valid JSON"],
    ["another shape", '{"facts":[]}', "memory"],
    ["no event", reply({ id: "0", text: "x" }), "memory.0"],
    ["an unknown event", reply({ id: "0", text: "x", event: "MERGE" }), "memory.0"],
    ["ADD without text", reply({ id: "2", event: "ADD" }), "memory.0.text"],
    ["UPDATE to nothing", reply({ id: "0", text: " ", event: "UPDATE" }), "the text is empty"],
    ["DELETE without id", reply({ event: "DELETE" }), "memory.0.id"],
    ["an id that was not shown", reply({ id: "2", event: "DELETE" }), 'memory "2" was not shown'],
    ["a bank id", reply({ id: "17", text: "x", event: "UPDATE" }), 'memory "17" was not shown'],
    ["an id that is no number", reply({ id: "-1", event: "DELETE" }), 'memory "-1" was not shown'],
  ])("counts %s as unparsable", (_, text, reason) => {
    expect(mem0JsonFormat.parse(text, shown)).toEqual({
      status: "unparsable",
      reason: expect.stringContaining(reason),
    });
  });

  it("constrains ids to those shown", () => {
    const idsByEvent = (shownCount: number): readonly unknown[] => {
      const { type, value } = mem0JsonFormat.constraint(shownCount);
      expect(type).toBe("json_schema");
      const branch = z.object({
        properties: z.object({
          id: z.object({ enum: z.array(z.string()) }),
          event: z.object({ const: z.string() }),
        }),
      });
      const schema = parseJson(
        value,
        z.object({
          properties: z.object({
            memory: z.object({ items: z.object({ anyOf: z.array(branch) }) }),
          }),
        }),
        "schema",
      );
      return schema.properties.memory.items.anyOf.map(({ properties }) => [
        properties.event.const,
        properties.id.enum,
      ]);
    };
    expect(idsByEvent(0)).toEqual([["ADD", ["0"]]]);
    expect(idsByEvent(2)).toEqual([
      ["ADD", ["2"]],
      ["UPDATE", ["0", "1"]],
      ["DELETE", ["0", "1"]],
      ["NONE", ["0", "1"]],
    ]);
  });
});

describe.each(Object.entries(managerFormats))("%s prompt", (name, format) => {
  const render = (memories: readonly MemoryEntry[]): string =>
    format
      .messages({ ...input, shown: memories })
      .map(({ role, content }) => `## ${role}\n${content}\n`)
      .join("\n");

  it("renders as recorded", async () => {
    await expect(render(shown)).toMatchFileSnapshot(`__snapshots__/${name}.txt`);
  });

  it("differs in the last message only", () => {
    const [full, empty] = [shown, []].map((memories) =>
      format.messages({ ...input, shown: memories }),
    );
    expect(full?.slice(0, -1)).toEqual(empty?.slice(0, -1));
    expect(full?.at(-1)).not.toEqual(empty?.at(-1));
  });
});

describe("the compact prompt's own worked examples", () => {
  const turns = compactFormat.messages({ ...input, shown: [] }).slice(1, -1);

  it("are valid under the grammar of what they show, and cover every operation", () => {
    const kinds: string[] = [];
    for (let index = 0; index < turns.length; index += 2) {
      const labels = [...(turns[index]?.content.matchAll(/^(\d+)\. (.*)$/gm) ?? [])];
      const memories = labels.map(([, label, text]) => shownMemory(label ?? "", text ?? ""));
      const answer = turns[index + 1]?.content ?? "";
      const result = compactFormat.parse(answer, memories);
      expect(result.status, answer).toBe("parsed");
      const grammar = new RegExp(`^(?:${compactFormat.constraint(memories.length).value})$`, "u");
      expect(answer).toMatch(grammar);
      if (result.status === "parsed") kinds.push(...result.operations.map(({ kind }) => kind));
    }
    expect(kinds).toEqual(["DELETE", "NOOP", "UPDATE", "ADD", "ADD", "ADD"]);
  });
});
