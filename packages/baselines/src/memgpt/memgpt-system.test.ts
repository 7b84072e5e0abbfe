import { ConfigError, type ChatMessage, type MemorySession, type Turn } from "@memory-r1/spec";
import { describe, expect, it } from "vitest";
import { listedReplies } from "../testing/listed-replies.ts";
import { createScriptedModel, type ScriptedModel, toolCall } from "../testing/scripted-model.ts";
import { systemOptionsFor } from "../testing/system-options.ts";
import { longestChain } from "./memgpt-agent.ts";
import { createMemGptSystem } from "./memgpt-system.ts";
import { policy2023, policy2024, type QueuePolicy } from "./queue-policy.ts";

const may = { id: "session_1", dateText: "3 May 2024", dateTime: "2024-05-03T14:10" };
const june = { id: "session_2", dateText: "1 June 2024", dateTime: "2024-06-01T09:00" };
const kiwi: Turn = { id: "D1:1", speaker: "Mia", text: "I adopted a parrot called Kiwi." };
const canoe: Turn = { id: "D2:1", speaker: "Leo", text: "My canoe is red." };

async function open(
  policy: QueuePolicy,
  generator: ScriptedModel,
  given: { readonly contextTokens?: number; readonly constrained?: boolean } = {},
): Promise<MemorySession> {
  const system = createMemGptSystem({ ...systemOptionsFor({ generator, ...given }), policy });
  return system.open({ id: "c", participants: ["Mia", "Leo"] });
}

/** What the model read in a request below the system message. */
function readIn(model: ScriptedModel, request: number): readonly ChatMessage[] {
  return model.requests[request]?.messages.slice(1) ?? [];
}

/** The envelopes in the last message of a request: what is new to the model. */
function newsIn(model: ScriptedModel, request: number): readonly string[] {
  return readIn(model, request).at(-1)?.content.split("\n") ?? [];
}

function systemIn(model: ScriptedModel, request: number): string {
  return model.requests[request]?.messages[0]?.content ?? "";
}

const boot = {
  call: '{"thoughts": "I am ready. I say so and wait for the first message.", "function": "send_message", "arguments": {"message": "I am listening."}}',
  result: '{"type":"function_result","function":"send_message","status":"OK","message":"None"}',
};
const okResult = (name: string, time: string): string =>
  `{"type":"function_result","function":"${name}","status":"OK","message":"None","time":"${time}"}`;
const askedHeartbeat = (time: string): string =>
  `{"type":"heartbeat","reason":"you asked for it","time":"${time}"}`;
const failedHeartbeat = (time: string): string =>
  `{"type":"heartbeat","reason":"a call failed","time":"${time}"}`;

describe("memgpt-2024, step by step", () => {
  const replies = [
    toolCall("core_memory_append", {
      label: "human",
      content: "Mia has a parrot.",
      request_heartbeat: true,
    }),
    toolCall("archival_memory_insert", {
      content: "Mia adopted Kiwi in spring.",
      request_heartbeat: false,
    }),
    toolCall("remember", { what: "canoe" }),
    toolCall("core_memory_replace", {
      label: "human",
      old_content: "a parrot.",
      new_content: "the parrot Kiwi; Leo has a red canoe.",
    }),
    toolCall("archival_memory_search", { query: "parrot Kiwi", request_heartbeat: true }),
    toolCall("conversation_search", { query: "KIWI", page: 7, request_heartbeat: "True" }),
    toolCall("send_message", { message: "Kiwi" }),
  ];

  it("writes what the functions say, chains by heartbeats, and answers on a copy", async () => {
    const model = listedReplies(...replies);
    const session = await open(policy2024, model);
    await session.ingest(kiwi, may, []);

    await expect(`${systemIn(model, 0)}\n`).toMatchFileSnapshot(
      "__snapshots__/memgpt-2024-system.txt",
    );
    const firstTurn =
      '{"type":"user_message","message":"Mia: I adopted a parrot called Kiwi.","time":"3 May 2024"}';
    expect(readIn(model, 0)).toEqual([
      { role: "assistant", content: boot.call },
      { role: "user", content: `${boot.result}\n${firstTurn}` },
    ]);
    expect(readIn(model, 1)).toEqual([
      { role: "assistant", content: boot.call },
      { role: "user", content: `${boot.result}\n${firstTurn}` },
      { role: "assistant", content: replies[0] },
      {
        role: "user",
        content: `${okResult("core_memory_append", "3 May 2024")}\n${askedHeartbeat("3 May 2024")}`,
      },
    ]);
    // The block is in the prompt of the next step; three messages (turn, reply, result) are in recall memory.
    expect(systemIn(model, 1)).toContain(
      '<human limit="5000 characters">\nMia has a parrot.\n</human>',
    );
    expect(systemIn(model, 1)).toContain("3 messages are in recall memory, 0 passages in archival");
    expect(model.requests).toHaveLength(2);

    await session.ingest(canoe, june, []);
    expect(model.requests).toHaveLength(4);
    expect(newsIn(model, 2)).toEqual([
      okResult("archival_memory_insert", "3 May 2024"),
      '{"type":"user_message","message":"Leo: My canoe is red.","time":"1 June 2024"}',
    ]);
    expect(newsIn(model, 3)).toEqual([
      '{"type":"function_result","function":"remember","status":"Failed","message":"no function named remember","time":"1 June 2024"}',
      failedHeartbeat("1 June 2024"),
    ]);

    const core = {
      text: "Mia has the parrot Kiwi; Leo has a red canoe.",
      date: "1 June 2024",
      sourceTurnIds: ["D1:1", "D2:1"],
    };
    const passage = {
      text: "Mia adopted Kiwi in spring.",
      date: "3 May 2024",
      sourceTurnIds: ["D1:1"],
    };
    const turns = [
      { text: "Mia: I adopted a parrot called Kiwi.", date: "3 May 2024", sourceTurnIds: ["D1:1"] },
      { text: "Leo: My canoe is red.", date: "1 June 2024", sourceTurnIds: ["D2:1"] },
    ];
    const counts = {
      operations: {
        core_memory_append: 1,
        archival_memory_insert: 1,
        missing_heartbeat_flag: 1,
        core_memory_replace: 1,
      },
      unparsable: 0,
      rejected: 1,
    };
    expect(await session.stored()).toEqual([core, passage, ...turns]);
    expect(session.counts()).toEqual(counts);

    // All four match "Kiwi" or "canoe"; the turn about the canoe has the fewest other words.
    const context = await session.context({ id: "q", text: "canoe" });
    expect(context.map(({ sourceTurnIds }) => sourceTurnIds)).toEqual([
      ["D2:1"],
      ["D1:1", "D2:1"],
      ["D1:1"],
      ["D1:1"],
    ]);

    const answer = await session.answer?.({ id: "q", text: "What is Mia's parrot called?" });
    expect(newsIn(model, 4).at(-1)).toBe(
      '{"type":"user_message","message":"What is Mia\'s parrot called?","time":"1 June 2024"}',
    );
    expect(newsIn(model, 5)[0]).toBe(
      JSON.stringify({
        type: "function_result",
        function: "archival_memory_search",
        status: "OK",
        message: '[{"timestamp":"3 May 2024","content":"Mia adopted Kiwi in spring."}]',
        time: "1 June 2024",
      }),
    );
    // This version ignores the page.
    expect(newsIn(model, 6)[0]).toBe(
      JSON.stringify({
        type: "function_result",
        function: "conversation_search",
        status: "OK",
        message:
          'Showing 1 of 1 results (page 0/0): ["3 May 2024, Mia: I adopted a parrot called Kiwi."]',
        time: "1 June 2024",
      }),
    );
    expect(answer).toEqual({
      status: "answered",
      answer: "Kiwi",
      replies: replies.slice(4),
      shown: [core, ...turns, passage],
      unparsableReplies: 0,
    });
    expect(await session.stored()).toEqual([core, passage, ...turns]);
    expect(session.counts()).toEqual(counts);
  });

  it("holds replies to the functions where replies are constrained", async () => {
    const model = createScriptedModel(() => toolCall("send_message", { message: "ok" }));
    const session = await open(policy2024, model, { constrained: true });
    await session.ingest(kiwi, may, []);
    const value = model.requests[0]?.constraint?.value ?? "";
    expect([...value.matchAll(/"const":"(\w+)"/g)].map((match) => match[1])).toEqual([
      "send_message",
      "conversation_search",
      "archival_memory_insert",
      "archival_memory_search",
      "core_memory_append",
      "core_memory_replace",
    ]);
    // Every function but send_message must say whether it wants a heartbeat.
    expect(value.match(/"required":\[[^\]]*"request_heartbeat"\]/g)).toHaveLength(5);
  });
});

describe("memgpt-2023, step by step", () => {
  it("searches by pages and by dates, and says so where a page is beyond the end", async () => {
    const search = (query: string, page: number): string =>
      toolCall("conversation_search", { query, page, request_heartbeat: true });
    const seven = Array.from({ length: 7 }, (_, index): Turn => ({
      id: `D1:${index + 1}`,
      speaker: "Mia",
      text: `Köln ${index + 1}`,
    }));
    const model = listedReplies(
      ...seven.map(() => toolCall("send_message", { message: "ok" })),
      search("köln", 1),
      search("köln", 2),
      toolCall("conversation_search_date", {
        start_date: "2024-05-01",
        end_date: "2024-05-03",
        page: 1,
        request_heartbeat: true,
      }),
      toolCall("conversation_search_date", {
        start_date: "May 2024",
        end_date: "2024-05-03",
        request_heartbeat: true,
      }),
      toolCall("send_message", { message: "ok" }),
    );
    const session = await open(policy2023, model);
    for (const turn of seven) await session.ingest(turn, may, []);
    await session.ingest(canoe, june, []);
    const results = [8, 9, 10, 11].map((request) => newsIn(model, request)[0]);
    const result = (name: string, status: string, message: string): string =>
      JSON.stringify({
        type: "function_result",
        function: name,
        status,
        message,
        time: "1 June 2024",
      });
    expect(results).toEqual([
      result(
        "conversation_search",
        "OK",
        'Showing 2 of 7 results (page 1/1): ["3 May 2024, Mia: Köln 6","3 May 2024, Mia: Köln 7"]',
      ),
      result("conversation_search", "OK", "No results found."),
      // The 7 turns of May, and the model's 7 thoughts beside them: 14 messages, of which the second page has 5.
      result(
        "conversation_search_date",
        "OK",
        'Showing 5 of 14 results (page 1/2): ["3 May 2024, I call send_message.","3 May 2024, Mia: Köln 4","3 May 2024, I call send_message.","3 May 2024, Mia: Köln 5","3 May 2024, I call send_message."]',
      ),
      result(
        "conversation_search_date",
        "Failed",
        "conversation_search_date: May 2024 is no date of the form YYYY-MM-DD",
      ),
    ]);
    expect(session.counts()).toEqual({
      operations: {
        send_message: 8,
        conversation_search: 2,
        empty_search: 1,
        conversation_search_date: 1,
      },
      unparsable: 0,
      rejected: 1,
    });
  });

  it("refuses what makes a block longer than its limit, to the character", async () => {
    const append = (length: number): string =>
      toolCall("core_memory_append", {
        name: "human",
        content: "🦜".repeat(length),
        request_heartbeat: false,
      });
    const model = listedReplies(
      append(2000),
      append(1),
      toolCall("send_message", { message: "ok" }),
    );
    const session = await open(policy2023, model);
    await session.ingest(kiwi, may, []);
    await session.ingest(canoe, june, []);
    // 2000, a line end, and one more.
    expect(newsIn(model, 2)[0]).toContain("would have 2002 characters, at most 2000 are possible");
    expect(session.counts()).toEqual({
      operations: { core_memory_append: 1, send_message: 1 },
      unparsable: 0,
      rejected: 1,
    });
  });
});

describe("memgpt, when the model does not do as it is told", () => {
  const stop = toolCall("send_message", { message: "ok" });
  it.each([
    [
      "no call is a thought and ends the chain",
      ["Nice parrot!"],
      1,
      { unparsable: 1, rejected: 0 },
    ],
    [
      "a broken call fails and wakes",
      ['{"function": "send_mess', stop],
      2,
      { unparsable: 1, rejected: 0 },
    ],
    [
      "wrong arguments fail and wake",
      [toolCall("send_message", {}), stop],
      2,
      { unparsable: 0, rejected: 1 },
    ],
    [
      "an unknown block fails and wakes",
      [
        toolCall("core_memory_append", { name: "Mia", content: "a", request_heartbeat: false }),
        stop,
      ],
      2,
      { unparsable: 0, rejected: 1 },
    ],
    [
      "an empty passage is not kept",
      [toolCall("archival_memory_insert", { content: " ", request_heartbeat: false }), stop],
      2,
      { unparsable: 0, rejected: 1 },
    ],
    [
      "content that is not there is not replaced",
      [
        toolCall("core_memory_replace", {
          name: "human",
          old_content: "a cat",
          new_content: "a dog",
          request_heartbeat: false,
        }),
        stop,
      ],
      2,
      { unparsable: 0, rejected: 1 },
    ],
  ])("%s", async (_, replies, requests, { unparsable, rejected }) => {
    const model = listedReplies(...replies);
    const session = await open(policy2023, model);
    await session.ingest(kiwi, may, []);
    expect(model.requests).toHaveLength(requests);
    expect(session.counts()).toMatchObject({ unparsable, rejected });
    const wokenBy = model.requests.slice(1).map((__, index) => newsIn(model, index + 1).at(-1));
    expect(wokenBy).toEqual(requests === 2 ? [failedHeartbeat("3 May 2024")] : []);
    expect(await session.stored()).toEqual([
      { text: "Mia: I adopted a parrot called Kiwi.", date: "3 May 2024", sourceTurnIds: ["D1:1"] },
    ]);
  });

  it("ends a chain that has no end", async () => {
    const model = createScriptedModel(() =>
      toolCall("archival_memory_search", { query: "x", request_heartbeat: true }),
    );
    const session = await open(policy2024, model);
    await session.ingest(kiwi, may, []);
    expect(model.requests).toHaveLength(longestChain);
    expect(session.counts()).toEqual({
      operations: { archival_memory_search: 5, empty_search: 5, chain_cut_off: 1 },
      unparsable: 0,
      rejected: 0,
    });
  });

  it.each([
    // What calls nothing ends the chain.
    ["no message was sent", 1, ["It was Kiwi, I think."]],
    // Two broken calls wake the agent again.
    ["no message was sent", 3, ['{"function":', "{}", "Kiwi 🦜"]],
    ["the last message sent is empty", 0, [toolCall("send_message", { message: " \n" })]],
  ])("gives no answer where %s, after %i replies that cannot be read", async (...given) => {
    const [reason, unparsableReplies, said] = given;
    const session = await open(policy2024, listedReplies(...said));
    expect(await session.answer?.({ id: "q", text: "Who?" })).toEqual({
      status: "unparsable",
      reason,
      unparsableReplies,
    });
    // They are the question's, and no part of what was counted while turns were told.
    expect(session.counts()).toEqual({ operations: {}, unparsable: 0, rejected: 0 });
  });

  it("answers after a reply that cannot be read, and says so", async () => {
    const said = ["{}", toolCall("send_message", { message: "Kiwi" })];
    const session = await open(policy2024, listedReplies(...said));
    expect(await session.answer?.({ id: "q", text: "Who?" })).toMatchObject({
      answer: "Kiwi",
      replies: said,
      unparsableReplies: 1,
    });
  });
});

describe.each([policy2023, policy2024])("memgpt-$name at memory pressure", (policy) => {
  const size = (messages: readonly ChatMessage[]): number =>
    messages.reduce((sum, { content }) => sum + content.split(/\s+/u).length + 8, 0);

  it("warns once, summarises the oldest, keeps their turns, and warns again", async () => {
    const contextTokens = 1400;
    let summaries = 0;
    const model = createScriptedModel(({ messages }) => {
      if (messages[0]?.content.startsWith("You summarise") === true) {
        summaries += 1;
        return `Summary ${summaries}.`;
      }
      return toolCall("send_message", { message: "ok" });
    });
    const session = await open(policy, model, { contextTokens });
    const events: string[] = [];
    let asked = 0;
    for (let number = 1; number <= 60; number++) {
      const text = Array.from({ length: 20 }, (_, word) => `word${number}x${word}`).join(" ");
      await session.ingest({ id: `D1:${number}`, speaker: "Mia", text }, may, []);
      for (; asked < model.requests.length; asked++) {
        const messages = model.requests[asked]?.messages ?? [];
        expect(size(messages)).toBeLessThanOrEqual(contextTokens - 256);
        if (messages[0]?.content.startsWith("You summarise") === true) events.push("summary");
        else if (messages.at(-1)?.content.includes("Your window is nearly full") === true)
          events.push("warning");
      }
    }
    // Never two warnings without a summary between them, and more than one round of it.
    expect(events.join(" ")).toMatch(/^(warning summary ){2,}/);
    expect(events.join(" ")).not.toContain("warning warning");
    expect(session.counts().operations["recursive_summary"]).toBe(summaries);

    // The first summary reads from the start of the queue, the second begins with the first.
    const read = model.requests
      .filter(({ messages }) => messages[0]?.content.startsWith("You summarise") === true)
      .map(({ messages }) => messages[1]?.content ?? "");
    expect(read[0]).toMatch(/^assistant: \{"thoughts": "I am ready/);
    expect(read[0]).toContain("word1x0 ");
    expect(read[1]).toMatch(
      /^user: \{"type":"system_alert","message":"\d+ of \d+ messages are no longer in view\. Summary of the last \d+ of them: Summary 1\."/,
    );

    // All turns are still in recall, and the last summary stems from all turns that left the queue, in order.
    const stored = await session.stored();
    expect(stored.filter(({ text }) => text.startsWith("Mia: "))).toHaveLength(60);
    const last = stored.find(({ text }) => text === `Summary ${summaries}.`);
    const inView =
      model.requests
        .at(-1)
        ?.messages.map(({ content }) => content)
        .join("\n") ?? "";
    const gone = Array.from({ length: 60 }, (_, index) => index + 1).filter(
      (number) => !inView.includes(`word${number}x0 `),
    );
    expect(last?.sourceTurnIds).toEqual(gone.map((number) => `D1:${number}`));
    expect(gone.length).toBeGreaterThan(20);
  });

  it("takes a turn that is longer than the whole window", async () => {
    const contextTokens = 1400;
    const model = createScriptedModel(({ messages }) =>
      messages[0]?.content.startsWith("You summarise") === true
        ? "Much was said."
        : toolCall("send_message", { message: "ok" }),
    );
    const session = await open(policy, model, { contextTokens });
    const long = Array.from({ length: 5000 }, (_, word) => `word${word}`).join(" ");
    await session.ingest(kiwi, may, []);
    await session.ingest({ id: "D1:2", speaker: "Leo", text: long }, may, []);
    for (let number = 3; number < 9; number++) {
      await session.ingest({ id: `D1:${number}`, speaker: "Mia", text: "Oh." }, may, []);
    }
    for (const { messages } of model.requests) {
      expect(size(messages)).toBeLessThanOrEqual(contextTokens - 256);
    }
    expect(session.counts().operations["message_shortened"]).toBeGreaterThan(0);
    // What was said is kept whole.
    expect((await session.stored()).map(({ text }) => text)).toContain(`Leo: ${long}`);
    expect((await session.context({ id: "q", text: "word4999" }))[0]?.sourceTurnIds).toEqual([
      "D1:2",
    ]);
  });

  it("refuses core memory that would leave no room, and a window too small for the instructions", async () => {
    const append = toolCall("core_memory_append", {
      [policy.name === "2023" ? "name" : "label"]: "human",
      content: "a ".repeat(1000).trim(),
      request_heartbeat: false,
    });
    const model = listedReplies(append, toolCall("send_message", { message: "ok" }));
    const session = await open(policy, model, { contextTokens: 2048 });
    await session.ingest(kiwi, may, []);
    expect(newsIn(model, 1)[0]).toContain("no room for the conversation");
    expect(session.counts().rejected).toBe(1);
    await expect(open(policy, model, { contextTokens: 500 })).rejects.toThrow(ConfigError);
  });
});
