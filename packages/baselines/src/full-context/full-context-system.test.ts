import { ConfigError, type MemorySession } from "@memory-r1/spec";
import { describe, expect, it } from "vitest";
import { answerPromptTokens, createFullContextSystem } from "./full-context-system.ts";

const countTokens = (text: string): number =>
  text.split(/\s+/u).filter((word) => word !== "").length;

function open(budget: number): Promise<MemorySession> {
  return createFullContextSystem({
    countTokens,
    replyTokens: 100,
    contextTokens: budget + 100 + answerPromptTokens,
  }).open({ id: "c", participants: ["Mia", "Leo"] });
}

async function tell(budget: number, ...texts: readonly string[]): Promise<MemorySession> {
  const session = await open(budget);
  for (const [index, text] of texts.entries()) {
    await session.ingest(
      { id: `D1:${index + 1}`, speaker: "Mia", text },
      { id: "s", dateText: `day${index + 1}` },
      [],
    );
  }
  return session;
}

const question = { id: "q", text: "?" };

describe("full context", () => {
  // "day1 | Mia: one" is four words.
  it("shows everything as one item, oldest first, where it fits", async () => {
    const session = await tell(12, "one", "two", "three");
    expect(await session.context(question)).toEqual([
      {
        text: "day1 | Mia: one\nday2 | Mia: two\nday3 | Mia: three",
        date: "day3",
        sourceTurnIds: ["D1:1", "D1:2", "D1:3"],
      },
    ]);
    expect(session.counts().operations).toEqual({ append: 3, drop: 0, cut: 0 });
    expect((await session.stored()).map(({ date, text }) => [date, text])).toEqual([
      ["day1", "day1 | Mia: one"],
      ["day2", "day2 | Mia: two"],
      ["day3", "day3 | Mia: three"],
    ]);
  });

  it("drops the oldest turns first, whole, and counts them", async () => {
    const session = await tell(11, "one", "two", "three");
    expect((await session.context(question))[0]?.sourceTurnIds).toEqual(["D1:2", "D1:3"]);
    expect(session.counts().operations).toEqual({ append: 3, drop: 1, cut: 0 });
  });

  it("keeps the newest turn whatever its length: its end is cut and counted", async () => {
    const session = await tell(5, "one", "two three four");
    expect(await session.context(question)).toEqual([
      { text: "day2 | Mia: two three", date: "day2", sourceTurnIds: ["D1:2"] },
    ]);
    expect(session.counts().operations).toEqual({ append: 2, drop: 1, cut: 1 });
  });

  it("shows nothing before the first turn", async () => {
    expect(await (await open(10)).context(question)).toEqual([]);
  });

  it("refuses a context that leaves no room", async () => {
    await expect(async () => open(0)).rejects.toThrow(ConfigError);
    await expect(open(1)).resolves.toBeDefined();
  });
});
