import type {
  AskedQuestion,
  Conversation,
  MemorySession,
  MemorySystem,
  OpenedConversation,
  Session,
} from "@memory-r1/spec";
import { describe, expect, expectTypeOf, it } from "vitest";

const sessions: readonly Session[] = [
  {
    id: "session_1",
    dateText: "2:10 pm on 3 May, 2024",
    turns: [
      { id: "D1:1", speaker: "Mia", text: "I adopted a parrot called Kiwi last week!" },
      { id: "D1:2", speaker: "Leo", text: "Lovely 🦜", imageCaption: "a green parrot on a shelf" },
      { id: "D1:3", speaker: "Leo", text: "My sourdough bread failed again." },
    ],
    facts: [
      {
        id: "f1",
        text: "Mia adopted a parrot called Kiwi.",
        participant: "Mia",
        sourceTurnIds: ["D1:1"],
      },
      { id: "f2", text: "Leo bakes sourdough bread.", participant: "Leo", sourceTurnIds: ["D1:3"] },
    ],
  },
  {
    id: "session_2",
    dateText: "9:00 am on 1 June, 2024",
    turns: [
      { id: "D2:1", speaker: "Leo", text: "I bought a canoe for the lake." },
      { id: "D2:2", speaker: "Mia", text: "Zoë und ich fahren nach Köln." },
    ],
    facts: [
      { id: "f3", text: "Leo bought a canoe.", participant: "Leo", sourceTurnIds: ["D2:1"] },
      {
        id: "f4",
        text: "Mia reist mit Zoë nach Köln.",
        participant: "Mia",
        sourceTurnIds: ["D2:2"],
      },
    ],
  },
];

const conversation: Conversation = { id: "contract-1", participants: ["Mia", "Leo"], sessions };
const question: AskedQuestion = { id: "q1", text: "Who bought a canoe?" };

/**
 * What the comparison relies on, for every memory system. Call it in a test file with a factory of fresh systems whose
 * retrieval matches words (BM25) and whose questions get at most `maxItems` items.
 */
export function describeMemorySystem(
  name: string,
  create: (options: { readonly maxItems: number }) => MemorySystem,
): void {
  describe(`${name} keeps the contract of a memory system`, () => {
    const maxItems = 2;
    const open = (): Promise<MemorySession> => create({ maxItems }).open(openedConversation());

    it("has a name", () => {
      expect(create({ maxItems }).name).toMatch(/\S/);
    });

    it("is never shown gold, category, evidence or turns that are yet to come", () => {
      expectTypeOf<keyof Parameters<MemorySession["context"]>[0]>().toEqualTypeOf<
        "id" | "text" | "dateText"
      >();
      expectTypeOf<keyof Parameters<MemorySystem["open"]>[0]>().toEqualTypeOf<
        "id" | "participants"
      >();
      expectTypeOf<keyof Parameters<MemorySession["ingest"]>[1]>().toEqualTypeOf<
        "id" | "dateText" | "dateTime"
      >();
    });

    it("has no context before the first turn", async () => {
      expect(await (await open()).context(question)).toEqual([]);
    });

    it("gives at most as many items as asked for, each with text, date and the turns that it stems from", async () => {
      const session = await open();
      await ingest(session, sessions);
      const items = await session.context(question);
      expect(items.length).toBeGreaterThan(0);
      expect(items.length).toBeLessThanOrEqual(maxItems);
      const turnIds = new Set(sessions.flatMap(({ turns }) => turns.map(({ id }) => id)));
      const dates = new Set(sessions.map(({ dateText }) => dateText));
      for (const item of items) {
        expect(item.text).toMatch(/\S/);
        expect(dates).toContain(item.date);
        expect(item.sourceTurnIds.length).toBeGreaterThan(0);
        expect(item.sourceTurnIds.filter((id) => !turnIds.has(id))).toEqual([]);
      }
    });

    it.each([
      ["Who bought a canoe?", "D2:1"],
      ["What is the name of Mia's parrot?", "D1:1"],
      ["Wer fährt mit Zoë nach Köln?", "D2:2"],
    ])("puts what answers first: %s", async (text, turnId) => {
      const session = await open();
      await ingest(session, sessions);
      const [best] = await session.context({ id: "q", text });
      expect(best?.sourceTurnIds).toEqual([turnId]);
    });

    it("knows only what was said so far", async () => {
      const session = await open();
      await ingest(session, sessions.slice(0, 1));
      const before = await session.context(question);
      expect(before.flatMap(({ sourceTurnIds }) => sourceTurnIds)).not.toContain("D2:1");
      await ingest(session, sessions.slice(1));
      const after = await session.context(question);
      expect(after.flatMap(({ sourceTurnIds }) => sourceTurnIds)).toContain("D2:1");
    });

    it("keeps two conversations of one system apart", async () => {
      const system = create({ maxItems });
      const [first, second] = [
        await system.open(openedConversation()),
        await system.open({ ...openedConversation(), id: "contract-2" }),
      ];
      await ingest(first, sessions);
      expect(await second.context(question)).toEqual([]);
      expect((await first.context(question)).length).toBeGreaterThan(0);
    });

    it("answers the same twice", async () => {
      const run = async (): Promise<unknown> => {
        const session = await open();
        await ingest(session, sessions);
        return [await session.context(question), await session.context(question)];
      };
      const [first, second] = [await run(), await run()];
      expect(second).toEqual(first);
    });
  });
}

/** Hands over what the type promises and nothing else, as the runner does. */
function openedConversation(): OpenedConversation {
  return { id: conversation.id, participants: conversation.participants };
}

async function ingest(session: MemorySession, said: readonly Session[]): Promise<void> {
  for (const { id, dateText, turns, facts } of said) {
    for (const turn of turns) {
      const ofTurn = facts.filter(({ sourceTurnIds }) => sourceTurnIds.includes(turn.id));
      await session.ingest(turn, { id, dateText }, ofTurn);
    }
  }
}
