import { ConfigError, type MemorySession, type Turn } from "@memory-r1/spec";
import { describe, expect, it } from "vitest";
import { listedReplies } from "../testing/listed-replies.ts";
import { createScriptedModel, type ScriptedModel, toolCall } from "../testing/scripted-model.ts";
import { systemOptionsFor } from "../testing/system-options.ts";
import { longestCall } from "./langmem-agent.ts";
import { createLangMemSystem } from "./langmem-system.ts";

const may = { id: "session_1", dateText: "3 May 2024" };
const june = { id: "session_2", dateText: "1 June 2024" };
const kiwi: Turn = { id: "D1:1", speaker: "Mia", text: "I adopted a parrot called Kiwi." };
const canoe: Turn = { id: "D1:2", speaker: "Leo", text: "My canoe is red." };
const escaped: Turn = { id: "D2:1", speaker: "Mia", text: "My parrot flew away." };

function open(
  generator: ScriptedModel,
  given: { readonly contextTokens?: number; readonly constrained?: boolean } = {},
): Promise<MemorySession> {
  const system = createLangMemSystem(systemOptionsFor({ generator, ...given }));
  return system.open({ id: "c", participants: ["Mia", "Leo"] });
}

function memoriesIn(model: ScriptedModel, request: number): readonly string[] {
  const system = model.requests[request]?.messages[0]?.content ?? "";
  return system.split("Memories that match the last message:\n")[1]?.split("\n") ?? [];
}

const done = toolCall("reply", { message: "done" });

describe("langmem, step by step", () => {
  const replies = [
    toolCall("manage_memory", { action: "create", content: "Mia has a parrot, Kiwi." }),
    done,
    toolCall("manage_memory", { action: "create", content: "Leo has a red canoe." }),
    done,
    toolCall("search_memory", { query: "parrot" }),
    toolCall("manage_memory", {
      action: "update",
      id: "1",
      content: "Mia's parrot Kiwi flew away.",
    }),
    toolCall("manage_memory", { action: "delete", id: 9 }),
    done,
    toolCall("search_memory", { query: "Kiwi", limit: 1, offset: 1 }),
    toolCall("reply", { message: "Kiwi, it flew away." }),
    toolCall("reply", { message: "I do not know." }),
    "Kiwi",
  ];

  it("keeps a store for each speaker, each call in a thread of its own, and answers from both agents", async () => {
    const model = listedReplies(...replies);
    const session = await open(model);
    await session.ingest(kiwi, may, []);
    await expect(`${model.requests[0]?.messages[0]?.content}\n`).toMatchFileSnapshot(
      "__snapshots__/langmem-system.txt",
    );
    expect(model.requests[0]?.messages.slice(1)).toEqual([
      { role: "user", content: "3 May 2024 | Mia: I adopted a parrot called Kiwi." },
    ]);
    expect(model.requests[1]?.messages.slice(1)).toEqual([
      { role: "user", content: "3 May 2024 | Mia: I adopted a parrot called Kiwi." },
      { role: "assistant", content: replies[0] },
      { role: "user", content: "Result of manage_memory: created memory 1" },
    ]);
    expect(memoriesIn(model, 1)).toEqual([
      '{"id":1,"content":"Mia has a parrot, Kiwi.","date":"3 May 2024"}',
    ]);

    // Leo's agent knows nothing of Mia's memories, nor of what she said.
    await session.ingest(canoe, may, []);
    expect(memoriesIn(model, 2)).toEqual(["(none)"]);
    expect(model.requests[2]?.messages).toHaveLength(2);

    // Nothing of the first thread is left in the second but what was stored.
    await session.ingest(escaped, june, []);
    expect(model.requests[4]?.messages.slice(1)).toEqual([
      { role: "user", content: "1 June 2024 | Mia: My parrot flew away." },
    ]);
    const results = [5, 6, 7].map((request) => model.requests[request]?.messages.at(-1)?.content);
    expect(results).toEqual([
      'Result of search_memory: {"id":1,"content":"Mia has a parrot, Kiwi.","date":"3 May 2024"}',
      "Result of manage_memory: updated memory 1",
      "Result of manage_memory: Error: there is no memory 9",
    ]);

    const ofMia = {
      text: "Mia's parrot Kiwi flew away.",
      date: "1 June 2024",
      sourceTurnIds: ["D1:1", "D2:1"],
    };
    const ofLeo = { text: "Leo has a red canoe.", date: "3 May 2024", sourceTurnIds: ["D1:2"] };
    const counts = {
      operations: { create: 2, reply: 3, search_memory: 1, update: 1 },
      unparsable: 0,
      rejected: 1,
    };
    expect(await session.stored()).toEqual([ofMia, ofLeo]);
    expect(session.counts()).toEqual(counts);
    expect(await session.context({ id: "q", text: "red canoe" })).toEqual([ofLeo, ofMia]);

    const answer = await session.answer?.({ id: "q", text: "What is Mia's parrot called?" });
    expect(model.requests[9]?.messages.at(-1)?.content).toBe("Result of search_memory: (none)");
    expect(model.requests[11]?.messages.at(-1)?.content).toBe(
      "Mia's memories: Kiwi, it flew away.\nLeo's memories: I do not know.\n\nQuestion: What is Mia's parrot called?",
    );
    expect(answer).toEqual({
      status: "answered",
      answer: "Kiwi",
      replies: replies.slice(8),
      shown: [ofMia, ofLeo],
      unparsableReplies: 0,
    });
    expect(await session.stored()).toEqual([ofMia, ofLeo]);
    expect(session.counts()).toEqual(counts);
  });

  it("throws away what an agent writes while it is asked", async () => {
    const session = await open(
      listedReplies(replies[0] ?? "", done, replies[2] ?? "", done, done, "Nobody"),
    );
    await session.ingest(kiwi, may, []);
    const before = await session.stored();
    expect(await session.answer?.({ id: "q", text: "Who?" })).toMatchObject({ answer: "Nobody" });
    expect(await session.stored()).toEqual(before);
  });

  it("asks the agents in the order of the participants, however the turns came", async () => {
    const model = createScriptedModel(() => done);
    const session = await open(model);
    await session.ingest(canoe, may, []);
    await session.ingest({ ...kiwi, speaker: "Zoë" }, may, []);
    await session.answer?.({ id: "q", text: "Who?" });
    expect(model.requests.at(-1)?.messages.at(-1)?.content.split("\n").slice(0, 3)).toEqual([
      "Mia's memories: done",
      "Leo's memories: done",
      "Zoë's memories: done",
    ]);
  });
});

describe("langmem, when the model does not do as it is told", () => {
  it.each([
    ["a text is the agent's last word", ["How nice!"], 1, { unparsable: 1, rejected: 0 }],
    ["a broken call ends the call", ['{"function": "rep'], 1, { unparsable: 1, rejected: 0 }],
    [
      "an unknown function is an error that it reads",
      [toolCall("forget", {}), done],
      2,
      { unparsable: 0, rejected: 1 },
    ],
    [
      "a memory without words is not kept",
      [toolCall("manage_memory", { action: "create", content: " " }), done],
      2,
      { unparsable: 0, rejected: 1 },
    ],
    [
      "a new memory has no id",
      [toolCall("manage_memory", { action: "create", id: 1, content: "a" }), done],
      2,
      { unparsable: 0, rejected: 1 },
    ],
    [
      "an update needs an id",
      [toolCall("manage_memory", { action: "update", content: "a" }), done],
      2,
      { unparsable: 0, rejected: 1 },
    ],
    [
      "an invented id is not written",
      [toolCall("manage_memory", { action: "update", id: 4, content: "a" }), done],
      2,
      { unparsable: 0, rejected: 1 },
    ],
  ])("%s", async (_, replies, requests, { unparsable, rejected }) => {
    const model = listedReplies(...replies);
    const session = await open(model);
    await session.ingest(kiwi, may, []);
    expect(model.requests).toHaveLength(requests);
    const errors = model.requests
      .slice(1)
      .map(({ messages }) => /^Result of \w+: Error: /.test(messages.at(-1)?.content ?? ""));
    expect(errors).toEqual(requests === 2 ? [true] : []);
    expect(session.counts()).toMatchObject({ unparsable, rejected });
    expect(await session.stored()).toEqual([]);
  });

  it("deletes, and never gives a number twice", async () => {
    const create = toolCall("manage_memory", { action: "create", content: "a parrot" });
    const model = listedReplies(
      create,
      toolCall("manage_memory", { action: "delete", id: 1 }),
      create,
      toolCall("manage_memory", { action: "delete", id: 1 }),
      done,
    );
    const session = await open(model);
    await session.ingest(kiwi, may, []);
    expect(memoriesIn(model, 4)).toEqual(['{"id":2,"content":"a parrot","date":"3 May 2024"}']);
    expect(session.counts()).toEqual({
      operations: { create: 2, delete: 1, reply: 1 },
      unparsable: 0,
      rejected: 1,
    });
  });

  it("ends a call that has no end, and gives no answer where there is none", async () => {
    const model = createScriptedModel(({ messages }) =>
      messages.at(-1)?.content.includes("Question:") === true
        ? " "
        : toolCall("search_memory", { query: "x" }),
    );
    const session = await open(model);
    await session.ingest(kiwi, may, []);
    expect(model.requests).toHaveLength(longestCall);
    expect(session.counts().operations).toEqual({ search_memory: 5, call_cut_off: 1 });
    expect(await session.answer?.({ id: "q", text: "Who?" })).toEqual({
      status: "unparsable",
      reason: "the reply to the answer prompt is empty",
      unparsableReplies: 1,
    });
  });

  it("counts what cannot be read while it is asked apart from what was told", async () => {
    const session = await open(listedReplies('{"function": "rep', "No idea.", "{}", "Nobody"));
    await session.ingest(kiwi, may, []);
    // Mia's agent speaks without a call, Leo's call is broken, and there is an answer all the same.
    expect(await session.answer?.({ id: "q", text: "Who?" })).toMatchObject({
      status: "answered",
      answer: "Nobody",
      unparsableReplies: 2,
    });
    expect(session.counts()).toEqual({ operations: {}, unparsable: 1, rejected: 0 });
  });

  it("stays inside the window: fewer memories, then a shorter message", async () => {
    const contextTokens = 900;
    const text = Array.from({ length: 90 }, (_, word) => `word${word}`).join(" ");
    const model = createScriptedModel(({ messages }) =>
      messages.at(-1)?.content.startsWith("Result") === true
        ? done
        : toolCall("manage_memory", { action: "create", content: text }),
    );
    const session = await open(model, { contextTokens });
    for (let number = 1; number <= 12; number++) {
      await session.ingest({ id: `D1:${number}`, speaker: "Mia", text }, may, []);
    }
    await session.ingest({ id: "D1:13", speaker: "Mia", text: text.repeat(40) }, may, []);
    for (const { messages } of model.requests) {
      const size = messages.reduce((sum, { content }) => sum + content.split(/\s+/u).length + 8, 0);
      expect(size).toBeLessThanOrEqual(contextTokens - 256);
    }
    expect(session.counts().operations["message_shortened"]).toBeGreaterThan(0);
    expect(await session.stored()).toHaveLength(13);
    await expect(open(model, { contextTokens: 400 })).rejects.toThrow(ConfigError);
  });
});
