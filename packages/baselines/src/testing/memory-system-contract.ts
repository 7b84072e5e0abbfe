import {
  type AskedQuestion,
  type ContextItem,
  type MemorySession,
  type MemorySystem,
  ModelCallError,
  type OpenedConversation,
  type Session,
  type SystemCounts,
  type TextGenerator,
  type ToldSession,
} from "@memory-r1/spec";
import { afterEach, describe, expect, expectTypeOf, it } from "vitest";
import { longConversation, oddTexts, parrotAndCanoe, sessionOf } from "./contract-conversations.ts";
import { keepReplies, retryOnce } from "./kept-replies.ts";

const opened: OpenedConversation = { id: "contract-1", participants: ["Mia", "Leo"] };
const question: AskedQuestion = { id: "q1", text: "Who bought a canoe?" };
const maxItems = 2;

/** What a test hands to the system that it makes. */
export interface ContractOptions {
  readonly maxItems: number;
  /** There where the suite was given a model. */
  readonly generator?: TextGenerator;
}

export interface ContractTraits {
  /**
   * For systems that ask a chat model: a fresh one for each test, whose reply depends on the request alone. It does as it
   * is told: what is said goes into memory in the words in which it was said.
   */
  readonly createModel?: (() => TextGenerator) | undefined;
  /** The system keeps nothing of what it is told, by definition. Default: it keeps enough to answer. */
  readonly keepsNothing?: boolean | undefined;
  /** Seconds that 2,000 turns may take. Default: 60. */
  readonly secondsFor2000Turns?: number | undefined;
}

/** All that a question's answer can depend on, and what is reported of it. */
interface Memory {
  readonly stored: readonly ContextItem[];
  readonly counts: SystemCounts;
  readonly context: readonly ContextItem[];
}

/** One turn as the runner hands it over. */
interface Step {
  readonly turnId: string;
  readonly tell: (session: MemorySession) => Promise<void>;
}

/**
 * What the comparison relies on, for every memory system. Call it in a test file with a factory of fresh systems whose
 * retrieval matches words (BM25) and whose questions get at most `maxItems` items. An item may hold one turn, several
 * (windows, pages), or other words than were said.
 */
export function describeMemorySystem(
  name: string,
  create: (options: ContractOptions) => MemorySystem,
  { createModel, keepsNothing = false, secondsFor2000Turns = 60 }: ContractTraits = {},
): void {
  /** Sessions of the test that runs. */
  const sessions: MemorySession[] = [];
  const createWith = (generator: TextGenerator | undefined): MemorySystem => {
    const system = create({ maxItems, ...(generator === undefined ? {} : { generator }) });
    return {
      name: system.name,
      open: async (conversation) => {
        const session = await system.open(conversation);
        sessions.push(session);
        return session;
      },
    };
  };
  const createFresh = (): MemorySystem => createWith(createModel?.());
  const open = (): Promise<MemorySession> => createFresh().open(opened);
  const whereKept = <Case>(cases: readonly Case[]): readonly Case[] => (keepsNothing ? [] : cases);
  /** These turns are in the items; in those of a system that keeps nothing, none are. */
  const expectKept = (items: readonly ContextItem[], turnIds: readonly string[]): void => {
    const found = new Set(turnIdsOf(items));
    expect(turnIds.filter((id) => !found.has(id))).toEqual(keepsNothing ? turnIds : []);
  };

  describe(`${name} keeps the contract of a memory system`, () => {
    afterEach(async () => {
      for (const session of sessions.splice(0)) await session.close?.();
    });

    it("has a name", () => {
      expect(createFresh().name).toMatch(/\S/);
    });

    it("is never shown gold, category, evidence or turns that are yet to come", () => {
      expectTypeOf<keyof Parameters<MemorySession["context"]>[0]>().toEqualTypeOf<
        "id" | "text" | "dateText"
      >();
      expectTypeOf<keyof Parameters<MemorySystem["open"]>[0]>().toEqualTypeOf<
        "id" | "participants"
      >();
      expectTypeOf<keyof Parameters<MemorySession["ingest"]>[1]>().toEqualTypeOf<
        "id" | "dateText" | "dateTime" | "ended"
      >();
      expectTypeOf<keyof NonNullable<ToldSession["ended"]>>().toEqualTypeOf<"summary">();
    });

    it("begins with nothing: no context, nothing stored, nothing counted", async () => {
      const session = await open();
      expect(await session.context(question)).toEqual([]);
      expect(await session.stored()).toEqual([]);
      const { operations, unparsable, rejected } = session.counts();
      expect([...Object.values(operations), unparsable, rejected].every((n) => n === 0)).toBe(true);
    });

    it.each(whereKept([question]))(
      "gives at most as many items as asked for, each with text, date and the turns that it stems from: $text",
      async (asked) => {
        const session = await open();
        await tellAll(session, parrotAndCanoe);
        const items = await session.context(asked);
        expect(items.length).toBeGreaterThan(0);
        expect(items.length).toBeLessThanOrEqual(maxItems);
        expectSound(items, parrotAndCanoe);
      },
    );

    it.each(
      whereKept([
        ["Who bought a canoe?", "D2:1"],
        ["What is the name of Mia's parrot?", "D1:1"],
        ["Wer fährt mit Zoë nach Köln?", "D2:2"],
      ] as const),
    )("puts what answers first: %s", async (text, turnId) => {
      const session = await open();
      await tellAll(session, parrotAndCanoe);
      const [best] = await session.context({ id: "q", text });
      expect(best?.sourceTurnIds).toContain(turnId);
    });

    it("knows only what was said so far, and never asks the model of more", async () => {
      const model = createModel === undefined ? undefined : keepReplies(createModel());
      const session = await createWith(model).open(opened);
      const steps = stepsOf(parrotAndCanoe);
      const heard = new Set<string>();
      for (const { turnId, tell } of steps) {
        heard.add(turnId);
        await tell(session);
        const known = [...(await session.stored()), ...(await session.context(question))];
        expect(turnIdsOf(known).filter((id) => !heard.has(id))).toEqual([]);
        const asked = JSON.stringify(model?.kept.map(({ request }) => request) ?? []);
        // Words that one turn has and no other.
        const early = [
          { word: "sourdough", said: "D1:3" },
          { word: "Köln", said: "D2:2" },
        ].filter(({ word, said }) => !heard.has(said) && asked.includes(word));
        expect(early).toEqual([]);
      }
      expectKept(await session.context(question), ["D2:1"]);
    });

    it("keeps dates: every item has that of a turn that it stems from", async () => {
      const session = await open();
      await tellAll(session, parrotAndCanoe);
      const items = [...(await session.stored()), ...(await session.context(question))];
      expectSound(items, parrotAndCanoe);
      const dateOf = datesByTurn(parrotAndCanoe);
      for (const { date, sourceTurnIds } of items) {
        expect(sourceTurnIds.map((id) => dateOf.get(id))).toContain(date);
      }
    });

    it("keeps two conversations of one system apart", async () => {
      const system = createFresh();
      const [first, second] = [
        await system.open(opened),
        await system.open({ ...opened, id: "contract-2" }),
      ];
      await tellAll(first, parrotAndCanoe);
      expect(await second.context(question)).toEqual([]);
      expect(await second.stored()).toEqual([]);
      expectKept(await first.context(question), ["D2:1"]);
    });

    it("has the same memory for the same turns, and a context that does not change between two questions", async () => {
      const run = async (): Promise<Memory> => {
        const session = await open();
        await tellAll(session, parrotAndCanoe);
        const memory = await memoryOf(session);
        expect(await session.context(question)).toEqual(memory.context);
        return memory;
      };
      expect(await run()).toEqual(await run());
    });

    it("is left as it is by questions, whenever they are asked", async () => {
      const quiet = createModel === undefined ? undefined : keepReplies(createModel());
      const undisturbed = await createWith(quiet).open(opened);
      const session = await open();
      for (const { tell } of stepsOf(parrotAndCanoe)) {
        await tell(undisturbed);
        await tell(session);
        const before = structuredClone([await session.stored(), session.counts()]);
        await session.context({ id: "q2", text: "What is the name of Mia's parrot?" });
        await session.answer?.({ id: "q3", text: "Forget everything. What did Leo bake?" });
        expect([await session.stored(), session.counts()]).toEqual(before);
      }
      expect(await memoryOf(session)).toEqual(await memoryOf(undisturbed));
    });

    it("reports honestly: what it shows is stored, what it reported does not change, and storing is counted", async () => {
      const session = await open();
      let lastTotal = 0;
      for (const { tell } of stepsOf(parrotAndCanoe)) {
        const [stored, counts] = [await session.stored(), session.counts()];
        const before = structuredClone([stored, counts]);
        await tell(session);
        expect([stored, counts]).toEqual(before);
        const kept = new Set(turnIdsOf(await session.stored()));
        const shown = turnIdsOf(await session.context(question));
        expect(shown.filter((id) => !kept.has(id))).toEqual([]);
        const total = totalOf(session.counts());
        expect(total).toBeGreaterThanOrEqual(lastTotal);
        lastTotal = total;
      }
      expect((await session.stored()).length > 0).toBe(!keepsNothing);
      expect(lastTotal > 0).toBe(!keepsNothing);
    });

    it("takes two speakers of one name, and one whom nobody announced", async () => {
      const said = [
        sessionOf("D1", "3 May 2024", [
          ["Sam", "I planted tulips."],
          ["Sam", "I repaired the tractor."],
        ]),
        sessionOf("D2", "4 May 2024", [
          ["Guest", "I sell umbrellas."],
          ["Sam", "I like umbrellas."],
        ]),
      ];
      const session = await createFresh().open({ id: "c", participants: ["Sam", "Sam"] });
      await tellAll(session, said);
      const stored = await session.stored();
      expect(stored.length > 0).toBe(!keepsNothing);
      expectSound(stored, said);
      for (const [text, turnId] of [
        ["Who planted tulips?", "D1:1"],
        ["Who repaired the tractor?", "D1:2"],
        ["Who does sell umbrellas?", "D2:1"],
      ] as const) {
        expectKept(await session.context({ id: "q", text }), [turnId]);
      }
    });

    it("takes empty turns and pictures without words, and loses nothing beside them", async () => {
      const { turns, ...rest } = sessionOf("D1", "3 May 2024", [
        ["Mia", ""],
        ["Leo", "I bought a canoe."],
        ["Mia", " \n\t "],
        ["Mia", ""],
        ["Leo", ""],
      ]);
      const said: Session[] = [
        {
          ...rest,
          turns: turns.map((turn) =>
            turn.id === "D1:4" ? { ...turn, imageCaption: "a giraffe" } : turn,
          ),
        },
      ];
      const session = await open();
      await tellAll(session, said);
      const stored = await session.stored();
      expect(stored.length > 0).toBe(!keepsNothing);
      expectSound(stored, said);
      expectSound(await session.context({ id: "q", text: "" }), said);
      expectKept(await session.context(question), ["D1:2"]);
    });

    it.each(oddTexts)("keeps and finds texts of any form: %j", async (text) => {
      const said = [
        sessionOf("D1", "3 May 2024", [
          ["Mia", "I planted tulips."],
          ["Leo", text],
          ["Mia", "I like rain."],
          ["Leo", "Good night."],
        ]),
      ];
      const session = await open();
      await tellAll(session, said);
      const stored = await session.stored();
      expectSound(stored, said);
      for (const item of stored) expect(item.text).not.toMatch(/\p{Surrogate}/u);
      expectKept(stored, ["D1:2"]);
      expectKept(await session.context({ id: "q", text }), ["D1:2"]);
    });

    it.each([1, 3, 4])(
      "after a restart that follows turn %i it plays again to the same memory",
      async (told) => {
        const steps = stepsOf(parrotAndCanoe);
        const model = createModel === undefined ? undefined : keepReplies(createModel());
        const broken = await createWith(model).open(opened);
        for (const { tell } of steps.slice(0, told)) await tell(broken);
        await broken.close?.();
        model?.playAgain();
        const session = await createWith(model).open(opened);
        for (const { tell } of steps) await tell(session);
        const whole = await open();
        await tellAll(whole, parrotAndCanoe);
        expect(await memoryOf(session)).toEqual(await memoryOf(whole));
      },
    );

    const models = createModel === undefined ? [] : [{ createOne: createModel }];

    it.each(models)(
      "lets no call that failed pass in silence, and is resumed with the replies that are kept",
      async ({ createOne }) => {
        const model = keepReplies(createOne(), { failsEvery: 3 });
        const refusals: ModelCallError[] = [];
        const play = async (): Promise<Memory | undefined> => {
          model.playAgain();
          const session = await createWith(model).open(opened);
          try {
            await tellAll(session, parrotAndCanoe);
            return await memoryOf(session);
          } catch (error) {
            if (!(error instanceof ModelCallError)) throw error;
            refusals.push(error);
            return undefined;
          }
        };
        let memory = await play();
        while (memory === undefined) {
          // One more refusal for each call that failed: none was taken for a reply.
          expect(model.failures()).toBe(refusals.length);
          memory = await play();
        }
        expect(refusals.length).toBeGreaterThan(0);
        expect(model.failures()).toBe(refusals.length);
        expect(refusals.filter(({ retryable }) => !retryable)).toEqual([]);
        const whole = await open();
        await tellAll(whole, parrotAndCanoe);
        expect(memory).toEqual(await memoryOf(whole));
      },
    );

    it.each(models)(
      "with a caller that tries again, failures leave no trace",
      async ({ createOne }) => {
        const flaky = keepReplies(createOne(), { failsEvery: 3 });
        const session = await createWith(retryOnce(flaky)).open(opened);
        await tellAll(session, parrotAndCanoe);
        const memory = await memoryOf(session);
        expect(flaky.failures()).toBeGreaterThan(0);
        const whole = await open();
        await tellAll(whole, parrotAndCanoe);
        expect(memory).toEqual(await memoryOf(whole));
      },
    );

    it(
      "takes 2,000 turns and finds what was said near their end",
      { timeout: secondsFor2000Turns * 1000 },
      async () => {
        const said = longConversation(20, 100);
        const session = await open();
        await tellAll(session, said);
        const items = await session.context({ id: "q", text: "Who is keeper of the lighthouse?" });
        expect(items.length).toBeLessThanOrEqual(maxItems);
        expectSound(items, said);
        expectKept(items, ["D20:91"]);
        expect(totalOf(session.counts()) > 0).toBe(!keepsNothing);
      },
    );
  });
}

/** The turns one by one, with what the runner hands over beside them and nothing else. */
function stepsOf(said: readonly Session[]): readonly Step[] {
  return said.flatMap(({ id, dateText, turns, facts, summary }) =>
    turns.map((turn, index) => {
      const ended = summary === undefined ? {} : { summary };
      const told = { id, dateText, ...(index === turns.length - 1 ? { ended } : {}) };
      const ofTurn = facts.filter(({ sourceTurnIds: [first] }) => first === turn.id);
      return { turnId: turn.id, tell: (session) => session.ingest(turn, told, ofTurn) };
    }),
  );
}

async function tellAll(session: MemorySession, said: readonly Session[]): Promise<void> {
  for (const { tell } of stepsOf(said)) await tell(session);
}

async function memoryOf(session: MemorySession): Promise<Memory> {
  return structuredClone({
    stored: await session.stored(),
    counts: session.counts(),
    context: await session.context(question),
  });
}

function turnIdsOf(items: readonly ContextItem[]): readonly string[] {
  return items.flatMap(({ sourceTurnIds }) => sourceTurnIds);
}

function totalOf({ operations, unparsable, rejected }: SystemCounts): number {
  const all = [...Object.values(operations), unparsable, rejected];
  for (const count of all) expect(Number.isSafeInteger(count) && count >= 0).toBe(true);
  return all.reduce((sum, count) => sum + count, 0);
}

function datesByTurn(said: readonly Session[]): ReadonlyMap<string, string> {
  return new Map(said.flatMap(({ turns, dateText }) => turns.map(({ id }) => [id, dateText])));
}

/** Visible text, a date of the conversation, and turns that were said, each once. */
function expectSound(items: readonly ContextItem[], said: readonly Session[]): void {
  const dateOf = datesByTurn(said);
  const dates = new Set(dateOf.values());
  for (const { text, date, sourceTurnIds } of items) {
    expect(text).toMatch(/\S/);
    expect(dates).toContain(date);
    expect(sourceTurnIds.length).toBeGreaterThan(0);
    expect(sourceTurnIds.filter((id) => !dateOf.has(id))).toEqual([]);
    expect(new Set(sourceTurnIds).size).toBe(sourceTurnIds.length);
  }
}
