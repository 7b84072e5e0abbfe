import { describe, expect, it } from "vitest";
import { listedReplies } from "../testing/listed-replies.ts";
import { systemOptionsFor } from "../testing/system-options.ts";
import { createAMemSystem, withLinks } from "./a-mem-system.ts";

const may = { id: "session_1", dateText: "3 May 2024" };
const june = { id: "session_2", dateText: "1 June 2024" };
const opened = { id: "c", participants: ["Mia", "Leo"] };
const parrot = { id: "D1:1", speaker: "Mia", text: "I have a parrot.", imageCaption: "a bird" };
const canoe = { id: "D2:1", speaker: "Leo", text: "I bought a canoe." };
const parrotNote = { keywords: ["parrot", "pet"], context: "Mia has a parrot.", tags: ["animals"] };
const canoeNote = { keywords: ["canoe"], context: "Leo bought a boat.", tags: ["sport"] };

describe("a-mem, step by step", () => {
  it("describes a turn, lets it and its neighbours evolve, and gives hits with what they link to", async () => {
    const model = listedReplies(
      parrotNote,
      canoeNote,
      {
        should_evolve: true,
        actions: ["strengthen", "update_neighbor", "forget"],
        suggested_connections: [0, "7"],
        tags_to_update: ["sport", "hobby"],
        new_context_neighborhood: ["Mia has a parrot, Leo a canoe."],
        new_tags_neighborhood: [["animals", "hobby"]],
      },
      { keywords: "canoe" },
    );
    const session = await createAMemSystem(systemOptionsFor({ generator: model, count: 2 })).open(
      opened,
    );
    await session.ingest(parrot, may, []);
    await session.ingest(canoe, june, []);
    const items = await session.context({ id: "q", text: "What floats?" });

    expect(model.prompts()).toEqual([
      "Date: 3 May 2024\nTurn: Mia: I have a parrot. [shares a picture: a bird]",
      "Date: 1 June 2024\nTurn: Leo: I bought a canoe.",
      "New note: (1 June 2024) Leo: I bought a canoe. | context: Leo bought a boat. | keywords: canoe | tags: sport\nNeighbours:\n0. (3 May 2024) Mia: I have a parrot. [shares a picture: a bird] | context: Mia has a parrot. | keywords: parrot, pet | tags: animals",
      "Question: What floats?",
    ]);
    expect(model.requests.every(({ temperature }) => temperature === 0)).toBe(true);
    expect(items).toEqual([
      {
        text: "Leo: I bought a canoe. (context: Leo bought a boat.; keywords: canoe; tags: sport, hobby)",
        date: "1 June 2024",
        sourceTurnIds: ["D2:1"],
      },
      {
        text: "Mia: I have a parrot. [shares a picture: a bird] (context: Mia has a parrot, Leo a canoe.; keywords: parrot, pet; tags: animals, hobby)",
        date: "3 May 2024",
        sourceTurnIds: ["D1:1", "D2:1"],
      },
    ]);
    // The neighbour 7 was not shown, and there is no action "forget".
    expect(session.counts()).toEqual({
      operations: { add_note: 2, strengthen: 1, update_neighbor: 1, consolidate: 0 },
      unparsable: 0,
      rejected: 2,
    });
  });

  it("finds a note by context and keywords alone until the notes are consolidated", async () => {
    const evolved = { should_evolve: true, actions: [] };
    const find = async (evolutionsToConsolidate: number): Promise<string | undefined> => {
      const model = listedReplies(
        { keywords: ["x"], context: "One.", tags: [] },
        { keywords: ["y"], context: "Two.", tags: ["boats"] },
        evolved,
        { keywords: "canoe boats" },
      );
      const options = systemOptionsFor({ generator: model, count: 1 });
      const session = await createAMemSystem({ ...options, evolutionsToConsolidate }).open(opened);
      await session.ingest(parrot, may, []);
      await session.ingest(canoe, june, []);
      const [best] = await session.context({ id: "q", text: "?" });
      return best?.sourceTurnIds[0];
    };
    // Neither "canoe" (content) nor "boats" (tag) is in the index at first: a tie, which the older note wins.
    expect(await find(2)).toBe("D1:1");
    expect(await find(1)).toBe("D2:1");
  });

  it("keeps the turn where replies cannot be read, and counts them", async () => {
    const model = listedReplies("no", "{", '{"should_evolve": "maybe"}', "canoe, boat");
    const session = await createAMemSystem(systemOptionsFor({ generator: model })).open(opened);
    await session.ingest(parrot, may, []);
    await session.ingest(canoe, june, []);
    expect((await session.stored()).map(({ text }) => text)).toEqual([
      "Mia: I have a parrot. [shares a picture: a bird] (context: General; keywords: ; tags: )",
      "Leo: I bought a canoe. (context: General; keywords: ; tags: )",
    ]);
    expect(session.counts()).toMatchObject({ unparsable: 3, rejected: 0 });
    expect(await session.context({ id: "q", text: "?" })).toHaveLength(2);
    expect(session.counts().unparsable).toBe(3);
  });

  it("holds replies to their form where the comparison is constrained", async () => {
    const model = listedReplies(parrotNote);
    const options = systemOptionsFor({ generator: model, constrained: true });
    await (await createAMemSystem(options).open(opened)).ingest(parrot, may, []);
    expect(model.requests[0]?.constraint?.value).toContain(
      '"required":["keywords","context","tags"]',
    );
  });
});

describe("links within the number of items", () => {
  interface Linked {
    readonly name: string;
    readonly links: Linked[];
  }
  const item = (name: string, ...links: Linked[]): Linked => ({ name, links });
  const [x, y, c, d] = [item("x"), item("y"), item("c"), item("d")];
  const [a, b] = [item("a", x, y), item("b", x)];
  it.each([
    [4, "a x y b"],
    [3, "a x b"],
    [6, "a x y b c d"],
    [1, "a"],
    [0, ""],
  ])("%d items", (count, names) => {
    expect(
      withLinks([a, b, c, d], count)
        .map(({ name }) => name)
        .join(" "),
    ).toBe(names);
  });
  it("is empty without hits", () => {
    expect(withLinks([], 4)).toEqual([]);
  });
});
