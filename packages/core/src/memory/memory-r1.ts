import {
  type AskedQuestion,
  ConfigError,
  type ExtractedFact,
  type JournalRecord,
  type MemoryEntry,
  type MemoryImage,
  ModelCallError,
  type OperationSource,
  type TextGenerator,
  type Turn,
  VersionConflictError,
} from "@memory-r1/spec";
import { createAnswerAgent } from "../answer/answer-agent.ts";
import type { AnswerVariantName } from "../answer/variants/registry.ts";
import { type AppliedOperations, applyOperations } from "../bank/apply-operations.ts";
import { createMemoryBank, type MemoryBank } from "../bank/memory-bank.ts";
import { turnText } from "../environments/turns-as-facts.ts";
import type { ManagerFormatName } from "../manager/formats/registry.ts";
import { createManagerAgent } from "../manager/manager-agent.ts";
import { createMemoryManager } from "../manager/memory-manager.ts";
import { createBm25Retriever } from "../retrieval/bm25-retriever.ts";
import type { Retriever } from "../retrieval/retriever.ts";
import {
  inBankOrder,
  type MemorySelection,
  paperMemorySelection,
  topMemories,
} from "../retrieval/top-memories.ts";
import type { MemoryStore, StoredRecord } from "../store/memory-store.ts";
import { matchSelected } from "./match-selected.ts";

export interface MemoryR1Options {
  /** One chat model for both agents, or one for each: two adapters of the engine, for example. */
  readonly model:
    | TextGenerator
    | { readonly manager: TextGenerator; readonly answer: TextGenerator };
  readonly store: MemoryStore;
  /** Whose memory: one bank for each user or conversation. Default `default`; `forBank` gives others. */
  readonly bankId?: string;
  /** Default BM25, which needs no model. `createDenseRetriever(embeddingModel)` finds what says it in other words. */
  readonly retriever?: Retriever;
  /** How the Manager is asked; default `mem0-json`. `compact` is for models of a few hundred million parameters. */
  readonly format?: ManagerFormatName;
  /**
   * Whether the Manager's reply is held to its form. Default: yes for `mem0-json`, whose JSON schema most endpoints take
   * (and the client does without where one refuses); no for `compact`, whose regular expression only the engine takes.
   */
  readonly constrained?: boolean;
  /** How the Answer Agent is asked; default `distill`. `short` is for small models, and selects nothing. */
  readonly variant?: AnswerVariantName;
  /** Which memories a question is shown; default the paper's, 30 of each participant. */
  readonly selection?: MemorySelection;
  /** Most memories that the Manager is shown for a fact; default 5, as in the authors' client. */
  readonly shownCount?: number;
  /** Seed of every sampling; default 0. Both agents sample greedily. */
  readonly seed?: number;
  /** How often a turn is decided anew because another process wrote to the bank meanwhile; default 5. */
  readonly maxConflicts?: number;
  /** Wall time for the journal; no result depends on it. Default the machine's clock. */
  readonly now?: () => Date;
}

/** Something that was said. */
export interface SaidTurn extends Turn {
  /** As prompts are to show it: `2024-05-01 18:30`, or `the first Sunday of May`. */
  readonly date: string;
  /** What an extraction step drew from the turn. Without it the turn itself is the fact, with its speaker. */
  readonly facts?: readonly Pick<ExtractedFact, "text" | "participant">[];
}

/** What became of a turn. `known`: the journal has a turn of this id, and nothing was done. */
export type IngestedTurn =
  | { readonly status: "known" }
  | {
      readonly status: "ingested";
      /** What was applied, as the journal has it; NOOPs included. */
      readonly records: readonly JournalRecord[];
      /** Operations that the bank could not take, such as an UPDATE of a memory that the same reply deleted. */
      readonly rejected: AppliedOperations["rejected"];
      /** Why replies could not be read; each changed nothing. */
      readonly unparsable: readonly string[];
      /** Replies that were no valid JSON and were mended. */
      readonly repaired: number;
    };

/** A question, and where it matters the date on which it is asked, as prompts are to show it. */
export type MemoryQuestion = Pick<AskedQuestion, "text" | "dateText">;

export interface MemoryAnswer {
  /** Absent where the reply could not be read. */
  readonly answer?: string;
  /** Why the reply could not be read; absent where it could. */
  readonly unparsable?: string;
  /** The memories that the reply picked before it answered; all that were shown in a variant without selection. */
  readonly selected: readonly MemoryEntry[];
  readonly shown: readonly MemoryEntry[];
  /** The model's reply as it came. */
  readonly reply: string;
}

/** A memory that outlives its process. Calls on one bank come one after another, whoever makes them. */
export interface MemoryR1 {
  readonly bankId: string;
  /**
   * Has the Memory Manager decide what a turn changes, and stores it: the whole turn or nothing of it. A turn whose id
   * was ingested before, by any process, is known and left alone.
   * @throws ModelCallError where the model gave no reply: nothing is stored, and the turn can be ingested again.
   * @throws VersionConflictError where other writers came first more than `maxConflicts` times.
   * @throws ConfigError for a turn without an id; StoreError.
   */
  ingest(turn: SaidTurn): Promise<IngestedTurn>;
  /**
   * Answers from the memories that match the question; `dateText` says when it is asked.
   * @throws ModelCallError where the model gave no reply.
   */
  ask(question: string | MemoryQuestion): Promise<MemoryAnswer>;
  /** The memories as they are now. */
  entries(): Promise<readonly MemoryEntry[]>;
  /** All that was ever done to the bank, oldest first. */
  journal(): Promise<readonly JournalRecord[]>;
  /** The memory of another user or conversation, with the same model and store. */
  forBank(bankId: string): MemoryR1;
}

/**
 * Memory-R1 for programs: a Memory Manager that keeps a bank up to date turn by turn, and an Answer Agent that answers
 * from it (paper, Algorithms 3 and 4), over any chat model and a store. Without a trained model the agents are prompts.
 */
export function createMemoryR1(options: MemoryR1Options): MemoryR1 {
  const retriever = options.retriever ?? createBm25Retriever();
  const format = options.format ?? "mem0-json";
  const generators =
    "manager" in options.model ? options.model : { manager: options.model, answer: options.model };
  const parts: Parts = {
    store: options.store,
    retriever,
    manager: createManagerAgent({
      manager: createMemoryManager({
        format,
        constrained: options.constrained ?? format === "mem0-json",
        shownCount: options.shownCount ?? 5,
        retriever,
      }),
      generator: generators.manager,
      seed: options.seed ?? 0,
    }),
    answerAgent: createAnswerAgent({ variant: options.variant ?? "distill" }),
    answerGenerator: generators.answer,
    selection: options.selection ?? paperMemorySelection,
    seed: options.seed ?? 0,
    maxConflicts: options.maxConflicts ?? 5,
    now: options.now ?? (() => new Date()),
  };
  const memories = new Map<string, MemoryR1>();
  const forBank = (bankId: string): MemoryR1 => {
    const known = memories.get(bankId);
    if (known !== undefined) return known;
    const memory = openMemory(parts, bankId, forBank);
    memories.set(bankId, memory);
    return memory;
  };
  return forBank(options.bankId ?? "default");
}

interface Parts {
  readonly store: MemoryStore;
  readonly retriever: Retriever;
  readonly manager: ReturnType<typeof createManagerAgent>;
  readonly answerAgent: ReturnType<typeof createAnswerAgent>;
  readonly answerGenerator: TextGenerator;
  readonly selection: MemorySelection;
  readonly seed: number;
  readonly maxConflicts: number;
  readonly now: () => Date;
}

function openMemory(parts: Parts, bankId: string, forBank: MemoryR1["forBank"]): MemoryR1 {
  const { store } = parts;
  // This process's copy of the bank, brought up to date from the journal before each use.
  let bank = createMemoryBank();
  const turnIds = new Set<string>();
  let queue: Promise<unknown> = Promise.resolve();

  function remember(record: JournalRecord): void {
    for (const id of record.source.sourceTurnIds) turnIds.add(id);
  }

  async function catchUp(): Promise<void> {
    const from = bank.journal().length;
    const next = bank.fork();
    const news: StoredRecord[] = [];
    for await (const record of store.journal(bankId, { from })) {
      next.apply(record.operation, record.source);
      news.push(record);
    }
    bank = next;
    news.forEach(remember);
  }

  /** One after another: two turns of one process would only get in each other's way. */
  function inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = queue.then(work);
    queue = result.catch(() => undefined);
    return result;
  }

  async function ingest(turn: SaidTurn): Promise<IngestedTurn> {
    requireTurn(turn);
    for (let conflicts = 0; ; conflicts++) {
      await catchUp();
      if (turnIds.has(turn.id)) return { status: "known" };
      const decided = await decide(parts, bank, turn);
      const at = parts.now().toISOString();
      try {
        await store.append(bankId, {
          expectedVersion: bank.journal().length,
          operations: decided.records.map(({ operation, source }) => ({ operation, source, at })),
        });
      } catch (error) {
        if (error instanceof VersionConflictError && conflicts < parts.maxConflicts) continue;
        throw error;
      }
      bank = decided.bank;
      decided.records.forEach(remember);
      const { records, rejected, unparsable, repaired } = decided;
      return { status: "ingested", records, rejected, unparsable, repaired };
    }
  }

  async function ask(question: MemoryQuestion): Promise<MemoryAnswer> {
    await catchUp();
    const entries = bank.entries();
    const best = await topMemories(parts.retriever, question.text, entries, parts.selection);
    const shown = inBankOrder(best, entries);
    const { answerAgent } = parts;
    const [result] = await parts.answerGenerator.generate([
      {
        messages: answerAgent.prompt({
          question,
          memories: shown.map(({ text, participant, updatedAt }) => ({
            text,
            participant,
            date: updatedAt,
          })),
        }),
        maxTokens: answerAgent.maxTokens,
        temperature: 0,
        seed: parts.seed,
      },
    ]);
    const reply = result?.status === "completed" ? result.completions[0]?.text : undefined;
    if (reply === undefined) {
      const reason = result?.status === "failed" ? result.reason : "it gave no completion";
      throw new ModelCallError(`The Answer Agent's model did not answer: ${reason}. Ask again.`, {
        retryable: true,
      });
    }
    const parsed = answerAgent.parse(reply);
    if (parsed.status === "unparsable")
      return { unparsable: parsed.reason, selected: [], shown, reply };
    const selected = parsed.selected === undefined ? shown : matchSelected(parsed.selected, shown);
    return { answer: parsed.answer, selected, shown, reply };
  }

  return {
    bankId,
    forBank,
    ingest: (turn) => inTurn(() => ingest(turn)),
    ask: (question) =>
      inTurn(() => ask(typeof question === "string" ? { text: question } : question)),
    entries: () => inTurn(() => catchUp().then(() => bank.entries())),
    journal: () => inTurn(() => catchUp().then(() => bank.journal())),
  };
}

function requireTurn(turn: SaidTurn): void {
  if (turn.id.trim() === "")
    throw new ConfigError(
      "A turn has no id. Give each turn one that is unique in its bank: by it a turn that comes twice is known.",
    );
}

/** A caption without an address describes the turn's only picture. */
function imagesOf({ imageUrls = [], imageCaption }: Turn): readonly MemoryImage[] {
  const caption = imageCaption === undefined ? {} : { caption: imageCaption };
  if (imageUrls.length === 0) return imageCaption === undefined ? [] : [caption];
  return imageUrls.map((url) => ({ url, ...caption }));
}

interface DecidedTurn {
  /** The bank with the turn's operations applied; the one that was given is as it was. */
  readonly bank: MemoryBank;
  readonly records: readonly JournalRecord[];
  readonly rejected: AppliedOperations["rejected"];
  readonly unparsable: readonly string[];
  readonly repaired: number;
}

/** Every fact of a turn in order, each decided on the bank that the ones before it left. */
async function decide(parts: Parts, before: MemoryBank, turn: SaidTurn): Promise<DecidedTurn> {
  const { manager } = parts;
  const bank = before.fork();
  const images = imagesOf(turn);
  const facts = turn.facts ?? [{ text: turnText(turn), participant: turn.speaker }];
  const sourceOf = (participant: string): OperationSource => ({
    actor: manager.name,
    participant,
    sourceTurnIds: [turn.id],
    date: turn.date,
    ...(images.length === 0 ? {} : { images }),
  });
  const rejected: AppliedOperations["rejected"][number][] = [];
  const unparsable: string[] = [];
  let repaired = 0;
  for (const fact of facts) {
    const decision = await manager.decide({ bank, fact, date: turn.date });
    if (decision.status === "failed")
      throw new ModelCallError(
        `The Memory Manager's model did not answer about turn ${turn.id}: ${decision.reason}. Nothing of the turn is stored: ingest it again.`,
        { retryable: true },
      );
    if (decision.status === "unparsable") {
      unparsable.push(decision.reason);
      continue;
    }
    if (decision.repaired === true) repaired += 1;
    rejected.push(
      ...applyOperations(bank, decision.operations, sourceOf(fact.participant)).rejected,
    );
  }
  const start = before.journal().length;
  // A turn that changes nothing leaves a NOOP, by which it is known the next time.
  if (bank.journal().length === start) bank.apply({ kind: "NOOP" }, sourceOf(turn.speaker));
  return { bank, records: bank.journal().slice(start), rejected, unparsable, repaired };
}
