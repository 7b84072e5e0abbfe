import { describe, expect, it } from "vitest";
import { listedReplies } from "../testing/listed-replies.ts";
import { systemOptionsFor } from "../testing/system-options.ts";
import { createMemoryOsSystem } from "./memory-os-system.ts";
import { createMidTermMemory } from "./mid-term-memory.ts";
import type { Page } from "./page.ts";

const may = { id: "session_1", dateText: "3 May 2024", dateTime: "2024-05-03T10:00" };
const june = { id: "session_2", dateText: "1 June 2024", dateTime: "2024-06-01T10:00" };
const opened = { id: "c", participants: ["Mia", "Leo"] };
const turn = (id: string, speaker: string, text: string) => ({ id, speaker, text });

describe("memory-os, step by step", () => {
  it("fills pages, moves them into segments and chains, and loses no turn", async () => {
    const model = listedReplies(
      { overview: "Mia has a parrot." },
      { summaries: [{ theme: "pets", keywords: ["parrot"], content: "Mia has a parrot." }] },
      { continuous: true },
      { overview: "Mia has a parrot and feeds it." },
      { summaries: [{ theme: "pets", keywords: ["parrot"], content: "The parrot eats seeds." }] },
    );
    const session = await createMemoryOsSystem(systemOptionsFor({ generator: model })).open(opened);
    await session.ingest(turn("D1:1", "Mia", "I have a parrot."), may, []);
    await session.ingest(turn("D1:2", "Mia", "He is green."), may, []);
    await session.ingest(turn("D1:3", "Leo", "What does he eat?"), may, []);
    // Leo opens the second session: a page of its own, with its own date.
    await session.ingest(turn("D2:1", "Leo", "I bought a canoe."), june, []);

    expect(model.prompts()).toEqual([
      "Overview so far: (none)\nNext piece:\nMia: I have a parrot.\nMia: He is green.",
      "Date: 3 May 2024\nConversation:\nMia: I have a parrot.\nMia: He is green.",
      "First piece:\nMia: I have a parrot.\nMia: He is green.\nSecond piece:\nLeo: What does he eat?",
      "Overview so far: Mia has a parrot.\nNext piece:\nLeo: What does he eat?",
      "Date: 3 May 2024\nConversation:\nLeo: What does he eat?",
    ]);
    const overview = "\n(Overview: Mia has a parrot and feeds it.)";
    const first = {
      text: `Mia: I have a parrot.\nMia: He is green.${overview}`,
      date: "3 May 2024",
      sourceTurnIds: ["D1:1", "D1:2", "D1:3"],
    };
    const second = {
      text: `Leo: What does he eat?${overview}`,
      date: "3 May 2024",
      sourceTurnIds: ["D1:3", "D1:1", "D1:2"],
    };
    const last = { text: "Leo: I bought a canoe.", date: "1 June 2024", sourceTurnIds: ["D2:1"] };
    const summary = {
      text: "Mia has a parrot.",
      date: "3 May 2024",
      sourceTurnIds: ["D1:1", "D1:2"],
    };
    expect(await session.stored()).toEqual([first, second, last, summary]);
    expect(await session.context({ id: "q", text: "What does a green parrot eat?" })).toEqual([
      second,
      first,
      last,
    ]);
    expect(session.counts()).toEqual({
      operations: {
        add_page: 3,
        link_page: 1,
        new_segment: 1,
        insert_into_segment: 1,
        evict_segment: 0,
        update_profile: 0,
        add_private_fact: 0,
        add_assistant_knowledge: 0,
      },
      unparsable: 0,
      rejected: 0,
    });
  });

  it("draws profile, facts and knowledge from a segment at its seventh page", async () => {
    const theme = { summaries: [{ theme: "t", keywords: ["rain"], content: "Rain again." }] };
    const page = [{ continuous: false }, { overview: "Rain." }, theme];
    const model = listedReplies(
      ...page.slice(1),
      ...Array.from({ length: 6 }, () => page).flat(),
      { profile: "Mia likes rain." },
      { private_facts: ["Mia owns an umbrella.", " "], assistant_knowledge: ["Leo sails."] },
    );
    const session = await createMemoryOsSystem(
      systemOptionsFor({ generator: model, contextTokens: 10_000 }),
    ).open(opened);
    for (let number = 1; number <= 15; number++) {
      await session.ingest(turn(`D1:${number}`, "Mia", `Rain ${number}.`), may, []);
    }
    expect(model.requests).toHaveLength(22);
    const days = [1, 3, 5, 7, 9, 11, 13].map(
      (number) => `3 May 2024\nMia: Rain ${number}.\nMia: Rain ${number + 1}.`,
    );
    expect(model.prompts().slice(20)).toEqual([
      `Person: Mia\nProfile so far: (none)\nConversation:\n${days.join("\n\n")}`,
      `Person: Mia\nConversation:\n${days.join("\n\n")}`,
    ]);
    const sourceTurnIds = Array.from({ length: 14 }, (_, index) => `D1:${index + 1}`);
    expect((await session.stored()).slice(-3)).toEqual([
      { text: "Mia owns an umbrella.", date: "3 May 2024", sourceTurnIds },
      { text: "Leo sails.", date: "3 May 2024", sourceTurnIds },
      { text: "Mia likes rain.", date: "3 May 2024", sourceTurnIds },
    ]);
    expect(session.counts()).toMatchObject({
      operations: { update_profile: 1, add_private_fact: 1, add_assistant_knowledge: 1 },
      rejected: 1,
    });
  });

  it("keeps and finds a page whose replies cannot be read, and counts them", async () => {
    const model = listedReplies("no", "{}", "maybe", "no", '{"summaries": []}');
    const session = await createMemoryOsSystem(systemOptionsFor({ generator: model })).open(opened);
    await session.ingest(turn("D1:1", "Mia", "I have a parrot."), may, []);
    await session.ingest(turn("D2:1", "Leo", "I bought a canoe."), june, []);
    await session.ingest(turn("D3:1", "Mia", "Rain."), { ...june, id: "session_3" }, []);
    const items = await session.context({ id: "q", text: "a parrot" });
    expect(items[0]).toEqual({
      text: "Mia: I have a parrot.",
      date: "3 May 2024",
      sourceTurnIds: ["D1:1"],
    });
    // An empty list of themes can be read.
    expect(session.counts()).toMatchObject({ unparsable: 4, rejected: 0 });
  });
});

describe("mid-term memory", () => {
  const page = (id: string): Page => ({
    sessionId: "s",
    date: "",
    turns: [{ id, text: id }],
    vector: undefined,
    chain: undefined,
    analysed: false,
  });
  const theme = (summary: string, x: number, y: number, keywords: readonly string[] = []) => ({
    summary,
    vector: Float32Array.of(x, y),
    keywords,
  });

  it("joins the best segment from 0.6 on, of equals the oldest", () => {
    const memory = createMidTermMemory(10);
    memory.insert(page("1"), theme("east", 1, 0), undefined);
    memory.insert(page("2"), theme("north", 0, 1), undefined);
    memory.insert(page("3"), theme("near north", 0.6, 0.8), undefined);
    expect(memory.insert(page("4"), theme("far", -1, 0, ["a"]), undefined).joined).toBe(false);
    expect(memory.segments.map(({ summary, pages }) => [summary, pages.size])).toEqual([
      ["east", 1],
      ["north", 2],
      ["far", 1],
    ]);
    const equal = Math.SQRT1_2;
    memory.insert(page("5"), theme("both", equal, equal), undefined);
    expect(memory.segments[0]?.pages.size).toBe(2);
    // east: 0.6, which is enough. Then far: 0 + (1/1 + 1/1) / 2 = 1.
    expect(memory.insert(page("6"), theme("x", 0.6, -0.8, ["a", "b"]), undefined).joined).toBe(
      true,
    );
    expect(memory.insert(page("7"), theme("y", 0, -1, ["a"]), undefined).joined).toBe(true);
  });

  it("makes room by the segment that is least used, of equals the oldest", () => {
    const memory = createMidTermMemory(2);
    memory.insert(page("1"), theme("east", 1, 0), undefined);
    memory.insert(page("2"), theme("north", 0, 1), undefined);
    memory.insert(page("3"), theme("east", 1, 0), undefined);
    const { evicted } = memory.insert(page("4"), theme("west", -1, 0), undefined);
    expect(evicted.map(({ summary }) => summary)).toEqual(["north"]);
    expect(memory.segments.map(({ summary }) => summary)).toEqual(["east", "west"]);
  });

  it("is as hot as its pages, and of equals the more recent by the conversation's dates", () => {
    const memory = createMidTermMemory(10);
    expect(memory.hottest(undefined)).toBeUndefined();
    memory.insert(page("1"), theme("east", 1, 0), "2024-05-03T10:00");
    memory.insert(page("2"), theme("north", 0, 1), "2024-05-04T10:00");
    const hottest = memory.hottest("2024-05-04T10:00");
    expect(hottest?.segment.summary).toBe("north");
    expect(hottest?.heat).toBeCloseTo(0.8001, 12);
    expect(memory.hottest(undefined)?.segment.summary).toBe("east");
  });
});
