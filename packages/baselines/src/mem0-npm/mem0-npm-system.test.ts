import {
  ConfigError,
  type EmbeddingModel,
  type MemorySession,
  ModelCallError,
  type TextGenerator,
  type ToldSession,
} from "@memory-r1/spec";
import { afterEach, describe, expect, it } from "vitest";
import { type ListedReplies, listedReplies } from "../testing/listed-replies.ts";
import { systemOptionsFor } from "../testing/system-options.ts";
import { createMem0NpmSystem } from "./mem0-npm-system.ts";

const may: ToldSession = { id: "session_1", dateText: "3 May", dateTime: "2024-05-03T14:10" };
const june: ToldSession = { id: "session_2", dateText: "1 June", dateTime: "2024-06-01T09:00" };
const ended: ToldSession = { ...june, ended: {} };
const next = { id: "D2:1", speaker: "Mia", text: "News!" };

const sessions: MemorySession[] = [];
afterEach(async () => {
  for (const session of sessions.splice(0)) await session.close?.();
});

interface Given {
  readonly count?: number;
  readonly constrained?: boolean;
  readonly contextTokens?: number;
  readonly embedding?: EmbeddingModel;
  readonly participants?: readonly string[];
}

async function open(generator: TextGenerator, given: Given = {}): Promise<MemorySession> {
  const { embedding, participants = ["Mia", "Leo"], ...rest } = given;
  const options = systemOptionsFor({ generator, contextTokens: 16_384, ...rest });
  const system = createMem0NpmSystem({
    ...options,
    ...(embedding === undefined ? {} : { embedding }),
  });
  const session = await system.open({ id: "c", participants });
  sessions.push(session);
  return session;
}

const fact = (text: string, by = "user"): object => ({ id: "0", text, attributed_to: by });
const memory = (...items: readonly object[]): object => ({ memory: items });

/** The parts of the package's prompts that change from one to the next. */
function sections(model: ListedReplies): readonly string[][] {
  return model.prompts().map((prompt) =>
    ["Last k Messages", "Existing Memories", "New Messages", "Observation Date"].map((name) => {
      const start = prompt.indexOf(`## ${name}\n`) + name.length + 4;
      return prompt.slice(start, prompt.indexOf("\n\n## ", start)).trim();
    }),
  );
}

/** A memory of Mia's from turn D1:1, and then this reply to turn D2:1. */
async function after(reply: string | object): Promise<MemorySession> {
  const session = await open(listedReplies(memory(fact("Mia likes tea.")), reply));
  await session.ingest({ id: "D1:1", speaker: "Mia", text: "..." }, { ...may, ended: {} }, []);
  await session.ingest(next, ended, []);
  return session;
}

const texts = async (session: MemorySession): Promise<readonly string[]> =>
  (await session.stored()).map(({ text }) => text);

describe("mem0-npm, step by step", () => {
  it("extracts and adds, for each speaker of a batch of two, and takes nothing back", async () => {
    const model = listedReplies(
      memory(fact("Mia adopted a dog called Buddy.")),
      memory(fact("Leo moved to Oslo."), fact("Leo likes snow.")),
      memory(fact("Mia gave Buddy away.")),
      memory(fact("Leo hates snow.")),
      memory(),
    );
    const session = await open(model, { count: 2 });
    await session.ingest({ id: "D1:1", speaker: "Mia", text: "I adopted a dog, Buddy." }, may, []);
    expect(model.requests).toHaveLength(0);
    await session.ingest({ id: "D1:2", speaker: "Leo", text: "I am in Oslo now." }, may, []);
    await session.ingest({ id: "D2:1", speaker: "Mia", text: "Buddy is gone." }, june, []);
    await session.ingest({ id: "D2:2", speaker: "Leo", text: "I hate snow." }, june, []);
    await session.ingest({ id: "D2:3", speaker: "Mia", text: "Bye!" }, ended, []);

    expect(sections(model)).toEqual([
      [
        "",
        "[]",
        "user: Mia: I adopted a dog, Buddy.\nassistant: Leo: I am in Oslo now.",
        "2024-05-03",
      ],
      [
        "",
        "[]",
        "assistant: Mia: I adopted a dog, Buddy.\nuser: Leo: I am in Oslo now.",
        "2024-05-03",
      ],
      [
        "user: Mia: I adopted a dog, Buddy.\nassistant: Leo: I am in Oslo now.",
        '[{"id":"0","text":"Mia adopted a dog called Buddy."}]',
        "user: Mia: Buddy is gone.\nassistant: Leo: I hate snow.",
        "2024-06-01",
      ],
      [
        "assistant: Mia: I adopted a dog, Buddy.\nuser: Leo: I am in Oslo now.",
        // "snow" is in one of them.
        '[{"id":"0","text":"Leo likes snow."},{"id":"1","text":"Leo moved to Oslo."}]',
        "assistant: Mia: Buddy is gone.\nuser: Leo: I hate snow.",
        "2024-06-01",
      ],
      [
        "user: Mia: I adopted a dog, Buddy.\nassistant: Leo: I am in Oslo now.\nuser: Mia: Buddy is gone.\nassistant: Leo: I hate snow.",
        expect.stringContaining("Mia gave Buddy away."),
        "user: Mia: Bye!",
        "2024-06-01",
      ],
    ]);
    expect(
      model.prompts().filter((prompt) => prompt.includes("is about that person alone")),
    ).toHaveLength(5);
    expect(model.requests.map(({ temperature, maxTokens }) => [temperature, maxTokens])).toEqual(
      model.requests.map(() => [0, 256]),
    );
    expect(await session.stored()).toEqual([
      { text: "Mia adopted a dog called Buddy.", date: "3 May", sourceTurnIds: ["D1:1"] },
      { text: "Mia gave Buddy away.", date: "1 June", sourceTurnIds: ["D2:1"] },
      { text: "Leo moved to Oslo.", date: "3 May", sourceTurnIds: ["D1:2"] },
      { text: "Leo likes snow.", date: "3 May", sourceTurnIds: ["D1:2"] },
      { text: "Leo hates snow.", date: "1 June", sourceTurnIds: ["D2:2"] },
    ]);
    expect(session.counts()).toEqual({
      operations: { ADD: 5, "skip duplicate": 0 },
      unparsable: 0,
      rejected: 0,
    });
    const find = async (text: string): Promise<readonly string[]> =>
      (await session.context({ id: "q", text })).map((item) => item.text);
    // One of each speaker for two in all; the shorter text is the more similar one.
    expect((await find("Mia and snow")).toSorted()).toEqual([
      "Leo likes snow.",
      "Mia gave Buddy away.",
    ]);
    // What is less similar than 0.1 is left out: no memory of Mia's shares a word.
    expect(await find("Who hates snow?")).toEqual(["Leo hates snow."]);
  });

  it("tells the date in the message where the clock cannot stand at it", async () => {
    const model = listedReplies(memory());
    const session = await open(model);
    await session.ingest(next, { id: "s", dateText: "the day after", ended: {} }, []);
    expect(sections(model)[0]?.[2]).toBe("user: (the day after) Mia: News!");
  });

  it("names the turns of the other speaker where the model says that they are the source", async () => {
    const session = await open(
      listedReplies(memory(fact("Leo has a boat.", "assistant"), fact("Mia rows.")), memory()),
    );
    await session.ingest({ id: "D1:1", speaker: "Mia", text: "I row." }, may, []);
    await session.ingest({ id: "D1:2", speaker: "Leo", text: "My boat!" }, may, []);
    expect(await session.stored()).toEqual([
      { text: "Leo has a boat.", date: "3 May", sourceTurnIds: ["D1:2"] },
      { text: "Mia rows.", date: "3 May", sourceTurnIds: ["D1:1"] },
    ]);
  });

  it("takes names with blanks, and two that differ by one", async () => {
    const model = listedReplies(memory(fact("Ann Lee rows.")), memory(fact("AnnLee sings.")));
    const session = await open(model, { participants: ["Ann Lee", "AnnLee"] });
    await session.ingest({ id: "D1:1", speaker: "Ann Lee", text: "I row." }, may, []);
    await session.ingest({ id: "D1:2", speaker: "AnnLee", text: "I sing." }, may, []);
    expect(await texts(session)).toEqual(["Ann Lee rows.", "AnnLee sings."]);
  });
});

describe("mem0-npm, replies that cannot be followed", () => {
  it.each([
    ["an empty text", { id: "1", text: "" }],
    ["no text", { id: "1" }],
    ["a text that is none", { id: "1", text: 7 }],
  ])("rejects %s and adds the rest", async (_, wrong) => {
    const session = await after(memory(wrong, fact("Mia sings.")));
    expect(await texts(session)).toEqual(["Mia likes tea.", "Mia sings."]);
    expect(session.counts()).toEqual({
      operations: { ADD: 2, "skip duplicate": 0 },
      unparsable: 0,
      rejected: 1,
    });
  });

  it("passes over links to memories that do not exist", async () => {
    const session = await after(memory({ ...fact("Mia sings."), linked_memory_ids: ["7", "Mia"] }));
    expect(await texts(session)).toEqual(["Mia likes tea.", "Mia sings."]);
    expect(session.counts()).toMatchObject({ operations: { ADD: 2 }, rejected: 0 });
  });

  it("adds nothing twice, and shows no memory of blanks", async () => {
    const session = await after(
      memory(fact("Mia likes tea."), fact("Mia sings."), fact("Mia sings."), fact(" ")),
    );
    expect(await texts(session)).toEqual(["Mia likes tea.", "Mia sings."]);
    expect(session.counts()).toEqual({
      // The package holds the blanks.
      operations: { ADD: 3, "skip duplicate": 2 },
      unparsable: 0,
      rejected: 0,
    });
    expect(await session.context({ id: "q", text: "" })).toHaveLength(2);
  });

  it.each([
    '{"memory": [{"id": "0", "text": "Mia',
    "I would add all.",
    '{"facts": []}',
    // The package breaks at these two with a TypeError.
    '{"memory": {"text": "Mia sings."}}',
    '{"memory": [null]}',
    "",
  ])("adds nothing and counts %j as unparsable", async (reply) => {
    const session = await after(reply);
    expect(await texts(session)).toEqual(["Mia likes tea."]);
    expect(session.counts()).toEqual({
      operations: { ADD: 1, "skip duplicate": 0 },
      unparsable: 1,
      rejected: 0,
    });
  });

  it("reads an object in a code fence, and one after a thought", async () => {
    const fenced = await after(`\`\`\`json\n${JSON.stringify(memory(fact("Zoë singt.")))}\n\`\`\``);
    expect(await texts(fenced)).toEqual(["Mia likes tea.", "Zoë singt."]);
    const thinking = await after(
      `<think>{hm}</think>${JSON.stringify(memory(fact("Mia 🦜 sings.")))}`,
    );
    expect(await texts(thinking)).toEqual(["Mia likes tea.", "Mia 🦜 sings."]);
    expect(thinking.counts()).toMatchObject({ operations: { ADD: 2 }, unparsable: 0, rejected: 0 });
  });
});

describe("mem0-npm, where it cannot go on", () => {
  it("says where the model gave no reply", async () => {
    const session = await open(listedReplies());
    await expect(session.ingest(next, ended, [])).rejects.toThrow(
      "mem0-npm, extraction for Mia, turns D2:1: the list has ended",
    );
  });

  it("lets no failed embedding pass, though mem0ai would go on without the memory", async () => {
    const refused = new ModelCallError("the embedding model is away", { retryable: true });
    const embedding: EmbeddingModel = {
      description: "knows the message and no memory",
      embed: (given) =>
        given.some((text) => text.startsWith("Mia likes"))
          ? Promise.reject(refused)
          : Promise.resolve(given.map(() => Float32Array.of(0.6, 0.8))),
    };
    const session = await open(listedReplies(memory(fact("Mia likes tea."))), { embedding });
    await expect(session.ingest(next, ended, [])).rejects.toBe(refused);
  });

  it("refuses a context that the package's own instructions do not fit", async () => {
    const session = await open(listedReplies(memory()), { contextTokens: 5000 });
    const told = session.ingest(next, ended, []);
    await expect(told).rejects.toThrow(ConfigError);
    await expect(told).rejects.toThrow("do not fit a context of 5000 tokens");
  });
});

describe("mem0-npm, constrained", () => {
  it("holds replies to the package's form", async () => {
    const [free, held] = [listedReplies(memory()), listedReplies(memory())];
    await (await open(free)).ingest(next, ended, []);
    await (await open(held, { constrained: true })).ingest(next, ended, []);
    expect(free.requests.map(({ constraint }) => constraint)).toEqual([undefined]);
    const object = (properties: object): object => ({
      type: "object",
      properties,
      required: Object.keys(properties),
      additionalProperties: false,
    });
    const item = object({
      id: { enum: ["0", "1", "2", "3", "4", "5", "6", "7"] },
      text: { type: "string", pattern: "^\\S.{0,479}$" },
      attributed_to: { enum: ["user", "assistant"] },
    });
    expect(held.requests.map(({ constraint }) => constraint?.value)).toEqual([
      JSON.stringify(object({ memory: { type: "array", items: item, maxItems: 8 } })),
    ]);
  });
});
