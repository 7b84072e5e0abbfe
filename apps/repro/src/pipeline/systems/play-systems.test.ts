import { readdir, readFile, truncate, writeFile } from "node:fs/promises";
import { createRagWindowsSystem } from "@memory-r1/baselines";
import { systemOptionsFor } from "@memory-r1/baselines/testing";
import { createBm25Retriever } from "@memory-r1/core";
import { datasets } from "@memory-r1/datasets";
import {
  type Conversation,
  type GenerateRequest,
  type MemorySystem,
  ModelCallError,
  type Question,
  ResumeMismatchError,
  type SystemAnswer,
  type TextGenerator,
} from "@memory-r1/spec";
import { describe, expect, it } from "vitest";
import {
  createScriptedGenerator,
  lastMessage,
  type ScriptedGenerator,
} from "../__fixtures__/scripted-generator.ts";
import { createSilentContext } from "../__fixtures__/silent-context.ts";
import { useTemporaryFolder } from "../__fixtures__/temporary-folder.ts";
import { playSystems, type PlaySystemsOptions, type SystemLane } from "./play-systems.ts";
import { createTimings } from "./timings.ts";

const pathOf = useTemporaryFolder();

/** A conversation of so many turns, two to a session. */
function conversationOf(id: string, turns: number): Conversation {
  const all = Array.from({ length: turns }, (_, index) => ({
    id: `D${Math.floor(index / 2) + 1}:${(index % 2) + 1}`,
    speaker: index % 2 === 0 ? "Ana" : "Ben",
    text: `word${index} of ${id}`,
  }));
  const sessions = Array.from({ length: Math.ceil(turns / 2) }, (_, index) => ({
    id: `S${index + 1}`,
    dateText: `${index + 1} May 2024`,
    turns: all.slice(2 * index, 2 * index + 2),
    facts: [],
  }));
  return { id, participants: ["Ana", "Ben"], sessions };
}

function questionOf(conversationId: string, number: number): Question {
  return {
    id: `${conversationId}/qa-${number}`,
    conversationId,
    text: `question ${number}`,
    gold: "secret",
    category: { code: "1", names: {} },
    evidenceTurnIds: ["D1:1"],
    answerable: true,
  };
}

/**
 * Asks the model about every turn and keeps its reply; a context costs a call as well. With `answers` it answers by
 * itself in two calls; what begins with "?" it cannot read.
 */
function askingSystem(
  name: string,
  generator: TextGenerator,
  { answers }: { readonly answers: boolean },
): MemorySystem {
  const ask = async (text: string): Promise<string> => {
    const [result] = await generator.generate([
      {
        messages: [{ role: "user", content: `${name}: ${text}` }],
        maxTokens: 8,
        temperature: 0,
        seed: 1,
      },
    ]);
    if (result?.status === "completed") return result.completions[0]?.text ?? "";
    throw new ModelCallError(`${text}: ${result?.reason}`, { retryable: true });
  };
  return {
    name,
    open: () => {
      const items: { text: string; date: string; sourceTurnIds: string[] }[] = [];
      return Promise.resolve({
        ingest: async (turn, { dateText }) => {
          const text = await ask(`${turn.id} ${turn.text}`);
          items.push({ text, date: dateText, sourceTurnIds: [turn.id] });
        },
        context: async ({ text }) => {
          await ask(`search ${text}`);
          return items.toReversed();
        },
        stored: () => Promise.resolve([...items]),
        counts: () => ({ operations: { keep: items.length }, unparsable: 0, rejected: 0 }),
        ...(answers
          ? {
              answer: async ({ text }: { readonly text: string }): Promise<SystemAnswer> => {
                const replies = [await ask(`think ${text}`), await ask(`answer ${text}`)];
                const answer = replies[1] ?? "";
                const unparsableReplies = replies.filter((reply) => reply.startsWith("?")).length;
                return answer.startsWith("?")
                  ? { status: "unparsable", reason: "no answer in it", unparsableReplies }
                  : {
                      status: "answered",
                      answer,
                      replies,
                      shown: items.slice(0, 1),
                      unparsableReplies,
                    };
              },
            }
          : {}),
      });
    },
  };
}

const lane = (system: string, id: string, turns: number, questions: number): SystemLane => ({
  system,
  conversation: conversationOf(id, turns),
  questions: Array.from({ length: questions }, (_, number) => ({
    question: questionOf(id, number),
    wantsContext: false,
    wantsAnswer: true,
  })),
});

/** Turns 4, 2 and 3; "self" answers by itself. */
const lanes: readonly SystemLane[] = [
  lane("plain", "one", 4, 1),
  lane("plain", "two", 2, 2),
  lane("self", "one", 3, 2),
];

const echo = (request: GenerateRequest): string => `re: ${lastMessage(request)} 😀`;

function play(generator: ScriptedGenerator, changes: Partial<PlaySystemsOptions> = {}) {
  return playSystems({
    lanes,
    create: (name, options) => askingSystem(name, options.generator, { answers: name === "self" }),
    systemOptions: systemOptionsFor({ generator }),
    countTokens: ({ messages }, texts) => ({
      promptTokens: messages.length,
      completionTokens: 10 * texts.length,
    }),
    concurrent: 8,
    directory: pathOf("systems"),
    timings: createTimings(pathOf("timings.jsonl"), () => 0),
    context: createSilentContext(pathOf(".")),
    ...changes,
  });
}

/** All journals of a folder by name. */
async function journals(folder = pathOf("systems")): Promise<Record<string, string>> {
  const files = (await readdir(folder, { recursive: true })).filter((file) =>
    file.endsWith(".jsonl"),
  );
  const texts = files
    .toSorted()
    .map(async (file) => [file, await readFile(`${folder}/${file}`, "utf8")] as const);
  return Object.fromEntries(await Promise.all(texts));
}

const sizes = ({ batches }: ScriptedGenerator): number[] => batches.map((batch) => batch.length);

describe("playSystems", () => {
  it("decodes for all conversations and systems in one batch, each one's calls in order", async () => {
    const generator = createScriptedGenerator(echo);
    const played = await play(generator);
    // Calls of the lanes: 4 turns and a search; 2 turns and 2 searches; 3 turns and two answers of 2 calls.
    expect(sizes(generator)).toEqual([3, 3, 3, 3, 2, 1, 1]);
    expect(generator.batches.map((batch) => batch.map(lastMessage))[2]).toEqual([
      "plain: D2:1 word2 of one",
      "plain: search question 0",
      "self: D2:1 word2 of one",
    ]);
    const one = played.get("plain")?.get("one");
    expect(one?.memory).toMatchObject({
      turns: 4,
      counts: { operations: { keep: 4 } },
      usage: { calls: 4, promptTokens: 4, completionTokens: 40 },
    });
    expect(one?.memory.stored.map(({ sourceTurnIds }) => sourceTurnIds[0])).toEqual([
      "D1:1",
      "D1:2",
      "D2:1",
      "D2:2",
    ]);
    expect([...(one?.memory.read ?? [])].toSorted()).toEqual([
      "question.text",
      "session.dateText",
      "turn.id",
      "turn.text",
    ]);
  });

  it("gives context in the order of the conversation, and a system's own answer with what it was shown", async () => {
    const played = await play(createScriptedGenerator(echo));
    const ofPlain = played.get("plain")?.get("two")?.questions.get("two/qa-0");
    expect(ofPlain).toMatchObject({
      answer: undefined,
      unparsableReplies: undefined,
      searchUsage: { calls: 1 },
    });
    expect(ofPlain?.context).toEqual([
      { text: "re: plain: D1:1 word0 of two 😀", date: "1 May 2024", participant: "Ana" },
      { text: "re: plain: D1:2 word1 of two 😀", date: "1 May 2024", participant: "Ben" },
    ]);
    const ofSelf = played.get("self")?.get("one")?.questions.get("one/qa-1");
    const answer = "re: self: answer question 1 😀";
    expect(ofSelf).toEqual({
      searchUsage: { calls: 0, promptTokens: 0, completionTokens: 0 },
      answerUsage: { calls: 2, promptTokens: 2, completionTokens: 20 },
      context: undefined,
      answer: {
        memories: [
          { text: "re: self: D1:1 word0 of one 😀", date: "1 May 2024", participant: "Ana" },
        ],
        outcome: { status: "answered", answer, raw: answer },
      },
      unparsableReplies: 0,
    });
  });

  it("shows windows best first, labelled with a speaker where they hold but one", async () => {
    const said = [
      ["Ana", "The harbour is full of boats."],
      ["Ben", "My canoe 🛶 is the red canoe."],
      ["Ana", "I sing."],
    ] as const;
    const turns = said.map(([speaker, text], index) => ({ id: `D1:${index + 1}`, speaker, text }));
    const conversation: Conversation = {
      id: "one",
      participants: ["Ana", "Ben"],
      sessions: [{ id: "S1", dateText: "1 May", turns, facts: [] }],
    };
    const countTokens = (text: string): number => Array.from(text).length;
    const contextOf = async (size: number, retriever = createBm25Retriever()) => {
      const played = await play(createScriptedGenerator(echo), {
        lanes: [
          {
            system: `windows of ${size}`,
            conversation,
            questions: [
              {
                question: { ...questionOf("one", 0), text: "red canoe boats" },
                wantsContext: true,
                wantsAnswer: false,
              },
            ],
          },
        ],
        create: (_, options) =>
          createRagWindowsSystem({ ...options, retriever, countTokens, size, windows: 2 }),
      });
      return played.get(`windows of ${size}`)?.get("one")?.questions.get("one/qa-0")?.context;
    };
    // The lines are 43, 42 and 21 characters long: 85 hold the first two, and 43 cut Ben's line off Ana's.
    expect(await contextOf(85)).toEqual([
      {
        text: "1 May | Ana: The harbour is full of boats.\n1 May | Ben: My canoe 🛶 is the red canoe.",
        date: "1 May",
      },
      { text: "1 May | Ana: I sing.", date: "1 May", participant: "Ana" },
    ]);
    expect(await contextOf(43)).toEqual([
      // Its last character is the first of Ana's next line.
      { text: "1 May | Ben: My canoe 🛶 is the red canoe.\n1", date: "1 May" },
      { text: "1 May | Ana: The harbour is full of boats.", date: "1 May", participant: "Ana" },
    ]);
  });

  it("keeps at most so many conversations at work", async () => {
    const generator = createScriptedGenerator(echo);
    const played = await play(generator, { concurrent: 1 });
    expect(sizes(generator)).toEqual(Array.from({ length: 5 + 4 + 7 }, () => 1));
    const wide = await play(createScriptedGenerator(echo), { directory: pathOf("wide") });
    expect(played).toEqual(wide);
    const two = createScriptedGenerator(echo);
    await play(two, { concurrent: 2, directory: pathOf("two") });
    expect(sizes(two)).toEqual([2, 2, 2, 2, 2, 1, 1, 1, 1, 1, 1]);
  });

  it("replays a finished run without asking", async () => {
    const whole = await play(createScriptedGenerator(echo));
    const kept = await journals();
    expect(Object.keys(kept)).toEqual(["plain/one.jsonl", "plain/two.jsonl", "self/one.jsonl"]);
    const silent = createScriptedGenerator(echo, { breakAfter: 0 });
    expect(await play(silent)).toEqual(whole);
    expect(silent.batches).toEqual([]);
    expect(await journals()).toEqual(kept);
  });

  it.each([0, 1, 2, 4, 6])(
    "goes on to the same bytes after %i batches and a kill",
    async (count) => {
      const whole = await play(createScriptedGenerator(echo), { directory: pathOf("whole") });
      const killed = createScriptedGenerator(echo, { breakAfter: count });
      await expect(play(killed)).rejects.toThrow("killed");
      const resumed = createScriptedGenerator(echo);
      expect(await play(resumed)).toEqual(whole);
      expect(resumed.batches).toHaveLength(7 - count);
      expect(await journals()).toEqual(await journals(pathOf("whole")));
    },
  );

  it("asks a batch again as a whole where the end of the process cut it", async () => {
    await play(createScriptedGenerator(echo));
    const kept = await journals();
    // "self" loses the reply that it got in the fifth batch, in the middle of its line, and what came after it. The
    // other reply of that batch is there, and is not used: the batch of two is decoded as a batch of two.
    const file = pathOf("systems", "self", "one.jsonl");
    const lines = (await readFile(file, "utf8")).split("\n");
    await writeFile(file, `${lines.slice(0, 5).join("\n")}\n`);
    await truncate(file, (await readFile(file)).length - 7);
    const resumed = createScriptedGenerator(echo);
    await play(resumed);
    expect(sizes(resumed)).toEqual([2, 1, 1]);
    expect(await journals()).toEqual(kept);
  });

  it("says so where a kept reply belongs to another request", async () => {
    await play(createScriptedGenerator(echo));
    const changed = play(createScriptedGenerator(echo), {
      create: (name, options) => askingSystem(`new ${name}`, options.generator, { answers: false }),
    });
    await expect(changed).rejects.toThrow(ResumeMismatchError);
    await expect(changed).rejects.toThrow(
      /call 0 of turn D1:1 answers another request.*start a new run/,
    );
  });

  it("asks what a changed evaluation adds, and nothing else", async () => {
    await play(createScriptedGenerator(echo));
    const more = createScriptedGenerator(echo);
    const played = await play(more, { lanes: [lane("plain", "one", 6, 2), ...lanes.slice(1)] });
    expect(more.batches.flat().map(lastMessage)).toEqual([
      "plain: D3:1 word4 of one",
      "plain: D3:2 word5 of one",
      "plain: search question 1",
    ]);
    expect(played.get("plain")?.get("one")?.memory.turns).toBe(6);
  });

  it("stops where a turn gets no reply, keeps nothing of that batch, and can be resumed", async () => {
    const whole = await play(createScriptedGenerator(echo), { directory: pathOf("whole") });
    const failing = createScriptedGenerator((request) =>
      lastMessage(request).includes("D2:1") ? undefined : echo(request),
    );
    const stopped = play(failing);
    await expect(stopped).rejects.toThrow(ModelCallError);
    await expect(stopped).rejects.toThrow(
      "plain, one, turn D2:1: HTTP 503. Resume the run when the model answers again.",
    );
    expect(failing.batches).toHaveLength(3);
    const resumed = createScriptedGenerator(echo);
    expect(await play(resumed)).toEqual(whole);
    expect(resumed.batches).toHaveLength(5);
    expect(await journals()).toEqual(await journals(pathOf("whole")));
  });

  it("leaves a question ungraded where its call fails, and goes on with a session of the same memory", async () => {
    const failing = createScriptedGenerator((request) =>
      /think question 0|search question 0/.test(lastMessage(request)) ? undefined : echo(request),
    );
    const played = await play(failing);
    expect(played.get("plain")?.get("two")?.questions.get("two/qa-0")).toMatchObject({
      context: { failed: "search question 0: HTTP 503" },
      answer: undefined,
    });
    expect(played.get("self")?.get("one")?.questions.get("one/qa-0")).toMatchObject({
      answer: {
        memories: [],
        outcome: { status: "failed", reason: "think question 0: HTTP 503" },
      },
      unparsableReplies: undefined,
    });
    const well = await play(createScriptedGenerator(echo), { directory: pathOf("well") });
    for (const [system, id, question] of [
      ["plain", "two", "two/qa-1"],
      ["self", "one", "one/qa-1"],
    ] as const) {
      const of = (from: typeof well) => from.get(system)?.get(id);
      expect(of(played)?.questions.get(question)).toEqual(of(well)?.questions.get(question));
      expect(of(played)?.memory).toEqual(of(well)?.memory);
    }
    // A failure is kept, too: the answers of a run do not change when it is resumed.
    const silent = createScriptedGenerator(echo, { breakAfter: 0 });
    expect(await play(silent)).toEqual(played);
  });

  it("counts an answer that its system cannot read as unparsable", async () => {
    const generator = createScriptedGenerator((request) =>
      /think question|answer question 1/.test(lastMessage(request)) ? "?!" : echo(request),
    );
    const questions = (await play(generator)).get("self")?.get("one")?.questions;
    // The first is answered all the same.
    expect(questions?.get("one/qa-0")).toMatchObject({
      answer: { outcome: { status: "answered" } },
      unparsableReplies: 1,
    });
    expect(questions?.get("one/qa-1")).toMatchObject({
      answer: {
        memories: [],
        outcome: { status: "unparsable", reason: "no answer in it", raw: "?!" },
      },
      unparsableReplies: 2,
    });
  });

  it("stops between batches when it is told to", async () => {
    const controller = new AbortController();
    const generator = createScriptedGenerator((request) => {
      controller.abort(new Error("Ctrl-C"));
      return echo(request);
    });
    const context = createSilentContext(pathOf("."), { signal: controller.signal });
    await expect(play(generator, { context })).rejects.toThrow("Ctrl-C");
    expect(generator.batches).toHaveLength(1);
  });

  it("never shows a system the ids that tell what is right", async () => {
    const { conversations, questions } = await datasets["longmemeval-mini"].load();
    // The questions themselves keep their official ids, and the file's session ids say "answer".
    expect(questions.map(({ id }) => id)).toContain("mini_multi_2_abs");
    const seen: unknown[] = [];
    const see = <T>(value: T, ...inputs: readonly unknown[]): Promise<T> => {
      seen.push(...inputs);
      return Promise.resolve(value);
    };
    await play(createScriptedGenerator(echo), {
      lanes: conversations.map((conversation) => ({
        system: "seeing",
        conversation,
        questions: questions
          .filter(({ conversationId }) => conversationId === conversation.id)
          .map((question) => ({ question, wantsContext: true, wantsAnswer: false })),
      })),
      create: () => ({
        name: "seeing",
        open: (opened) =>
          see(
            {
              ingest: (...inputs) => see(undefined, ...inputs),
              context: (question) => see([], question),
              stored: () => Promise.resolve([]),
              counts: () => ({ operations: {}, unparsable: 0, rejected: 0 }),
            },
            opened,
          ),
      }),
    });
    const turnCount = conversations.flatMap(({ sessions }) =>
      sessions.flatMap(({ turns }) => turns),
    ).length;
    expect(seen).toHaveLength(conversations.length + 3 * turnCount + questions.length);
    // Invented texts: none of them has the word.
    expect(JSON.stringify(seen)).not.toMatch(/answer|_abs|mini_/i);
  });
});
