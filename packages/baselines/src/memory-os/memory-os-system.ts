import { topByScore, turnText } from "@memory-r1/core";
import {
  type ContextItem,
  type MemorySession,
  type MemorySystem,
  ModelCallError,
  type OpenedConversation,
} from "@memory-r1/spec";
import { askForJson } from "../shared/json-reply.ts";
import { countThatFits } from "../shared/prompt-room.ts";
import { createSystemPrompts } from "../shared/system-prompts.ts";
import type { SystemOptions } from "../system-options.ts";
import { computeSimilarity } from "./memory-os-formulas.ts";
import {
  continuityConstraint,
  continuitySchema,
  knowledgeConstraint,
  knowledgeSchema,
  maxThemes,
  overviewConstraint,
  overviewSchema,
  profileConstraint,
  profileSchema,
  themesConstraint,
  themesSchema,
} from "./memory-os-replies.ts";
import { createMidTermMemory, type Segment, type Theme } from "./mid-term-memory.ts";
import { type Page, type PageChain, pageText, turnIdsOf } from "./page.ts";

const hotSegment = 5;
/** Retrieval: the least similarity to the question, and the most of each kind. */
const leastSimilarity = 0.1;
const maxSegments = 5;
const maxPages = 10;
const maxPrivateFacts = 10;

const prompts = createSystemPrompts([
  "memory-os-continuity",
  "memory-os-overview",
  "memory-os-themes",
  "memory-os-profile",
  "memory-os-knowledge",
]);

export interface MemoryOsOptions extends SystemOptions {
  /** Pages of short-term memory. Default: 1, as in the original's LoCoMo evaluation (its package: 10). */
  readonly shortTermPages?: number;
  /** Segments of mid-term memory. Default: the original's 2,000. */
  readonly midTermSegments?: number;
}

/** A piece of memory with its embedding. */
interface Embedded {
  readonly item: ContextItem;
  readonly vector: Float32Array;
}

/**
 * MemoryOS (arXiv 2506.06326) as its LoCoMo evaluation runs it: pages of two turns pass from short-term memory into
 * segments of one theme, and hot segments feed a profile, private facts and assistant knowledge. Departures from it:
 * docs/systems.md.
 */
export function createMemoryOsSystem(options: MemoryOsOptions): MemorySystem {
  return {
    name: "memory-os",
    open: (conversation) => Promise.resolve(openMemoryOs(options, conversation)),
  };
}

function openMemoryOs(
  options: MemoryOsOptions,
  { participants: [person = "the first speaker"] }: OpenedConversation,
): MemorySession {
  const { shortTermPages = 1, midTermSegments = 2000 } = options;
  const shortTerm: Page[] = [];
  const midTerm = createMidTermMemory(midTermSegments);
  const privateFacts: Embedded[] = [];
  const assistantKnowledge: Embedded[] = [];
  let profile: Embedded | undefined;
  let lastEvicted: Page | undefined;
  const operations = {
    add_page: 0,
    link_page: 0,
    new_segment: 0,
    insert_into_segment: 0,
    evict_segment: 0,
    update_profile: 0,
    add_private_fact: 0,
    add_assistant_knowledge: 0,
  };
  let unparsable = 0;
  let rejected = 0;

  /** The value of a reply, or undefined for one that cannot be read. */
  async function ask<T>(question: Parameters<typeof askForJson<T>>[1]): Promise<T | undefined> {
    const reply = await askForJson(options, {
      ...question,
      purpose: `memory-os, ${question.purpose}`,
    });
    if (reply.status === "parsed") return reply.value;
    unparsable += 1;
    return undefined;
  }

  /** From short-term into mid-term memory. */
  async function evict(page: Page, now: string | undefined): Promise<void> {
    await joinChain(page, lastEvicted);
    lastEvicted = page;
    const themes = await themesOf(page);
    for (const theme of themes) {
      const { joined, evicted } = midTerm.insert(page, theme, now);
      if (joined) operations.insert_into_segment += 1;
      else operations.new_segment += 1;
      operations.evict_segment += evicted.length;
    }
    const hottest = midTerm.hottest(now);
    if (hottest !== undefined && hottest.heat >= hotSegment) await analyse(hottest.segment);
  }

  async function joinChain(page: Page, previous: Page | undefined): Promise<void> {
    const at = `page of turn ${page.turns[0]?.id ?? ""}`;
    const isContinuous =
      previous !== undefined &&
      ((
        await ask({
          messages: prompts.render("memory-os-continuity", {
            previous: pageText(previous),
            page: pageText(page),
          }),
          purpose: `continuity, ${at}`,
          schema: continuitySchema,
          constraint: continuityConstraint,
        })
      )?.continuous ??
        false);
    const chain: PageChain = (isContinuous ? previous.chain : undefined) ?? {
      pages: [],
      overview: "",
    };
    const reply = await ask({
      messages: prompts.render("memory-os-overview", {
        overview: chain.overview === "" ? "(none)" : chain.overview,
        page: pageText(page),
      }),
      purpose: `overview, ${at}`,
      schema: overviewSchema,
      constraint: overviewConstraint,
    });
    chain.pages.push(page);
    page.chain = chain;
    if (isContinuous) operations.link_page += 1;
    if (reply !== undefined) chain.overview = reply.overview.trim();
  }

  /** The themes of a page; where there is none, what was said is its own summary, so that it can be found. */
  async function themesOf(page: Page): Promise<readonly Theme[]> {
    const text = pageText(page);
    const reply = await ask({
      messages: prompts.render("memory-os-themes", { date: page.date, page: text }),
      purpose: `themes, page of turn ${page.turns[0]?.id ?? ""}`,
      schema: themesSchema,
      constraint: themesConstraint,
    });
    const summaries = reply?.summaries ?? [];
    const told = summaries.filter(({ content }) => content.trim() !== "").slice(0, maxThemes);
    rejected += summaries.length - told.length;
    const themes = told.length > 0 ? told : [{ keywords: [], content: text }];
    const [pageVector, ...vectors] = await embed([text, ...themes.map(({ content }) => content)]);
    page.vector = pageVector;
    return themes.map(({ keywords, content }, index) => ({
      summary: content,
      vector: requireVector(vectors[index]),
      keywords,
    }));
  }

  /** From a hot segment into long-term memory; the segment cools down. */
  async function analyse(segment: Segment): Promise<void> {
    const waiting = [...segment.pages].filter(({ analysed }) => !analysed);
    while (waiting.length > 0) {
      const render = (shown: number) =>
        prompts.render("memory-os-profile", {
          person,
          profile: profile?.item.text ?? "(none)",
          pages: datedPages(waiting.slice(0, shown)),
        });
      const pages = waiting.splice(0, countThatFits(options, waiting.length, render, { least: 1 }));
      await updateLongTerm(pages);
      for (const page of pages) page.analysed = true;
    }
    segment.interactions = 0;
  }

  async function updateLongTerm(pages: readonly Page[]): Promise<void> {
    const at = `pages from turn ${pages[0]?.turns[0]?.id ?? ""}`;
    const turnIds = turnIdsOf(pages);
    const date = pages.at(-1)?.date ?? "";
    const described = await ask({
      messages: prompts.render("memory-os-profile", {
        person,
        profile: profile?.item.text ?? "(none)",
        pages: datedPages(pages),
      }),
      purpose: `profile, ${at}`,
      schema: profileSchema,
      constraint: profileConstraint,
    });
    const known = await ask({
      messages: prompts.render("memory-os-knowledge", { person, pages: datedPages(pages) }),
      purpose: `knowledge, ${at}`,
      schema: knowledgeSchema,
      constraint: knowledgeConstraint,
    });
    if (described !== undefined) {
      if (described.profile.trim() === "") rejected += 1;
      else {
        const sourceTurnIds = [...new Set([...(profile?.item.sourceTurnIds ?? []), ...turnIds])];
        [profile] = await embedItems([{ text: described.profile.trim(), date, sourceTurnIds }]);
        operations.update_profile += 1;
      }
    }
    if (known === undefined) return;
    const toItems = (texts: readonly string[]): readonly ContextItem[] => {
      const kept = texts.map((text) => text.trim()).filter((text) => text !== "");
      rejected += texts.length - kept.length;
      return kept.map((text) => ({ text, date, sourceTurnIds: turnIds }));
    };
    const [facts, knowledge] = [toItems(known.private_facts), toItems(known.assistant_knowledge)];
    privateFacts.push(...(await embedItems(facts)));
    assistantKnowledge.push(...(await embedItems(knowledge)));
    operations.add_private_fact += facts.length;
    operations.add_assistant_knowledge += knowledge.length;
  }

  async function embed(texts: readonly string[]): Promise<readonly Float32Array[]> {
    return texts.length === 0 ? [] : options.embedding.embed(texts);
  }

  async function embedItems(items: readonly ContextItem[]): Promise<readonly Embedded[]> {
    const vectors = await embed(items.map(({ text }) => text));
    return items.map((item, index) => ({ item, vector: requireVector(vectors[index]) }));
  }

  function requireVector(vector: Float32Array | undefined): Float32Array {
    if (vector !== undefined) return vector;
    throw new ModelCallError(
      `${options.embedding.description} returned fewer vectors than texts. Check that the server is an embedding server.`,
      { retryable: false },
    );
  }

  function pagesInMemory(): readonly Page[] {
    return [...new Set([...midTerm.segments.flatMap(({ pages }) => [...pages]), ...shortTerm])];
  }

  /** The pages of mid-term memory for a question, best first. */
  function findPages(query: Float32Array): readonly Page[] {
    const likeQuestion = <Kind extends { readonly vector: Float32Array | undefined }>(
      things: readonly Kind[],
      count: number,
    ): readonly Kind[] => {
      const score = ({ vector }: Kind): number =>
        vector === undefined ? 0 : computeSimilarity(query, vector);
      return topByScore(
        things.filter((thing) => score(thing) >= leastSimilarity),
        score,
        count,
      );
    };
    const segments = likeQuestion(midTerm.segments, maxSegments);
    return likeQuestion([...new Set(segments.flatMap(({ pages }) => [...pages]))], maxPages);
  }

  return {
    ingest: async (turn, session) => {
      if (turn.text.trim() === "" && turn.imageCaption === undefined) return;
      const said = { id: turn.id, text: turnText(turn) };
      const last = shortTerm.at(-1);
      if (last?.sessionId === session.id && last.turns.length === 1) {
        last.turns.push(said);
        return;
      }
      while (shortTerm.length >= Math.max(1, shortTermPages)) {
        const [oldest] = shortTerm.splice(0, 1);
        if (oldest !== undefined) await evict(oldest, session.dateTime);
      }
      shortTerm.push({
        sessionId: session.id,
        date: session.dateText,
        turns: [said],
        vector: undefined,
        chain: undefined,
        analysed: false,
      });
      operations.add_page += 1;
    },
    context: async (question) => {
      if (pagesInMemory().length === 0) return [];
      const [query] = await embed([question.text]);
      const asked = requireVector(query);
      const similarityOf = ({ vector }: Embedded): number => computeSimilarity(asked, vector);
      const facts = privateFacts.filter((fact) => similarityOf(fact) >= leastSimilarity);
      const found = [
        ...[...findPages(asked), ...shortTerm].map(pageItem),
        ...topByScore(facts, similarityOf, maxPrivateFacts).map(({ item }) => item),
        ...assistantKnowledge.map(({ item }) => item),
        ...(profile === undefined ? [] : [profile.item]),
      ];
      // The original shows all of them; here every system has the same number of places.
      return options.retriever.rank(question.text, found, options.count);
    },
    stored: () =>
      Promise.resolve([
        ...pagesInMemory().map(pageItem),
        ...midTerm.segments.map(({ summary, origin }) => ({
          text: summary,
          date: origin.date,
          sourceTurnIds: turnIdsOf([origin]),
        })),
        ...[...privateFacts, ...assistantKnowledge].map(({ item }) => item),
        ...(profile === undefined ? [] : [profile.item]),
      ]),
    counts: () => ({ operations: { ...operations }, unparsable, rejected }),
  };
}

function datedPages(pages: readonly Page[]): string {
  return pages.map((page) => `${page.date}\n${pageText(page)}`).join("\n\n");
}

/** A page with the overview of its chain, which stems from the turns of every page of it. */
function pageItem(page: Page): ContextItem {
  const { chain, date } = page;
  const said = pageText(page);
  return chain === undefined || chain.overview === ""
    ? { text: said, date, sourceTurnIds: turnIdsOf([page]) }
    : {
        text: `${said}\n(Overview: ${chain.overview})`,
        date,
        sourceTurnIds: turnIdsOf([page, ...chain.pages]),
      };
}
