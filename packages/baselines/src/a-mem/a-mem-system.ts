import { turnText } from "@memory-r1/core";
import type {
  AskedQuestion,
  ContextItem,
  MemorySession,
  MemorySystem,
  ToldSession,
  Turn,
} from "@memory-r1/spec";
import { askForJson } from "../shared/json-reply.ts";
import { countThatFits } from "../shared/prompt-room.ts";
import { createSystemPrompts } from "../shared/system-prompts.ts";
import type { SystemOptions } from "../system-options.ts";
import {
  type EvolutionReply,
  evolutionConstraint,
  evolutionReplySchema,
  noteConstraint,
  noteReplySchema,
  queryConstraint,
  queryReplySchema,
} from "./a-mem-replies.ts";

const neighbourCount = 5;
/** What a note has for a context when the reply that should describe it cannot be read, as in the original. */
const contextOfUnread = "General";

const prompts = createSystemPrompts(["a-mem-note", "a-mem-evolution", "a-mem-query"]);

export interface AMemOptions extends SystemOptions {
  /** After how many evolutions all notes are indexed anew. Default: the original's 100. */
  readonly evolutionsToConsolidate?: number;
}

interface Note {
  readonly content: string;
  readonly date: string;
  readonly keywords: readonly string[];
  context: string;
  tags: readonly string[];
  readonly links: Set<Note>;
  /** The note's own turn first, then those whose notes rewrote it. */
  readonly turnIds: Set<string>;
  /** What it is found by. */
  indexText: string;
}

/**
 * A-Mem (arXiv 2502.12110) as its LoCoMo evaluation runs it: every turn becomes a note that a model describes, links with
 * its nearest neighbours and uses to rewrite them. Departures from it: docs/systems.md.
 */
export function createAMemSystem(options: AMemOptions): MemorySystem {
  return { name: "a-mem", open: () => Promise.resolve(openAMem(options)) };
}

function openAMem(options: AMemOptions): MemorySession {
  const notes: Note[] = [];
  const operations = { add_note: 0, strengthen: 0, update_neighbor: 0, consolidate: 0 };
  let unparsable = 0;
  let rejected = 0;
  let evolutions = 0;

  async function nearest(query: string, count: number): Promise<readonly Note[]> {
    const indexed = notes.map((note) => ({ text: note.indexText, note }));
    return (await options.retriever.rank(query, indexed, count)).map(({ note }) => note);
  }

  async function describeTurn(turn: Turn, { dateText }: ToldSession): Promise<Note> {
    const content = turnText(turn);
    const reply = await askForJson(options, {
      messages: prompts.render("a-mem-note", { date: dateText, content }),
      purpose: `a-mem, note of turn ${turn.id}`,
      schema: noteReplySchema,
      constraint: noteConstraint,
    });
    if (reply.status === "unparsable") unparsable += 1;
    const described =
      reply.status === "parsed"
        ? reply.value
        : { keywords: [], context: contextOfUnread, tags: [] };
    const { keywords, context, tags } = described;
    return {
      content,
      date: dateText,
      keywords,
      context,
      tags,
      links: new Set(),
      turnIds: new Set([turn.id]),
      indexText: `${context} keywords: ${keywords.join(", ")}`,
    };
  }

  /** Whether the model let the notes evolve, whatever came of it. */
  async function evolve(note: Note, turnId: string): Promise<boolean> {
    const found = await nearest(note.content, neighbourCount);
    if (found.length === 0) return false;
    const render = (shown: number) =>
      prompts.render("a-mem-evolution", {
        note: noteLine(note),
        neighbours: found
          .slice(0, shown)
          .map((neighbour, position) => `${position}. ${noteLine(neighbour)}`)
          .join("\n"),
      });
    const neighbours = found.slice(0, countThatFits(options, found.length, render, { least: 1 }));
    const reply = await askForJson(options, {
      messages: render(neighbours.length),
      purpose: `a-mem, evolution by turn ${turnId}`,
      schema: evolutionReplySchema,
      constraint: evolutionConstraint(neighbours.length),
    });
    if (reply.status === "unparsable") {
      unparsable += 1;
      return false;
    }
    if (!reply.value.should_evolve) return false;
    for (const action of reply.value.actions) {
      if (action === "strengthen") strengthen(note, neighbours, reply.value);
      else if (action === "update_neighbor") updateNeighbours(turnId, neighbours, reply.value);
      else rejected += 1;
    }
    return true;
  }

  function strengthen(note: Note, neighbours: readonly Note[], reply: EvolutionReply): void {
    for (const number of reply.suggested_connections) {
      const neighbour = /^\d+$/.test(number) ? neighbours[Number(number)] : undefined;
      if (neighbour === undefined) rejected += 1;
      else note.links.add(neighbour);
    }
    note.tags = reply.tags_to_update ?? note.tags;
    operations.strengthen += 1;
  }

  function updateNeighbours(
    turnId: string,
    neighbours: readonly Note[],
    reply: EvolutionReply,
  ): void {
    const { new_context_neighborhood: contexts, new_tags_neighborhood: tags } = reply;
    rejected += Math.max(0, Math.max(contexts.length, tags.length) - neighbours.length);
    neighbours.forEach((neighbour, position) => {
      const context = contexts[position];
      const isEmpty = context?.trim() === "";
      if (isEmpty) rejected += 1;
      const next = {
        context: context === undefined || isEmpty ? neighbour.context : context,
        tags: tags[position] ?? neighbour.tags,
      };
      if (next.context === neighbour.context && next.tags.join() === neighbour.tags.join()) return;
      neighbour.context = next.context;
      neighbour.tags = next.tags;
      neighbour.turnIds.add(turnId);
      operations.update_neighbor += 1;
    });
  }

  function consolidate(): void {
    for (const note of notes) {
      const { content, context, keywords, tags } = note;
      note.indexText = `${content} , ${context} ${keywords.join(" ")} ${tags.join(" ")}`;
    }
    operations.consolidate += 1;
  }

  return {
    ingest: async (turn, session) => {
      if (turn.text.trim() === "" && turn.imageCaption === undefined) return;
      const note = await describeTurn(turn, session);
      const evolved = await evolve(note, turn.id);
      notes.push(note);
      operations.add_note += 1;
      if (!evolved) return;
      evolutions += 1;
      if (evolutions % (options.evolutionsToConsolidate ?? 100) === 0) consolidate();
    },
    context: async (question) => {
      if (notes.length === 0 || options.count <= 0) return [];
      const query = await queryOf(options, question);
      return withLinks(await nearest(query, options.count), options.count).map(toItem);
    },
    stored: () => Promise.resolve(notes.map(toItem)),
    counts: () => ({ operations: { ...operations }, unparsable, rejected }),
  };
}

/** A reply that is no JSON serves as it is, as in the original; an empty one leaves the question itself. */
async function queryOf(options: SystemOptions, { id, text }: AskedQuestion): Promise<string> {
  const reply = await askForJson(options, {
    messages: prompts.render("a-mem-query", { question: text }),
    purpose: `a-mem, keywords of question ${id}`,
    schema: queryReplySchema,
    constraint: queryConstraint,
  });
  const query = reply.status === "parsed" ? reply.value.keywords : reply.text;
  return query.trim() === "" ? text : query;
}

/**
 * `count` items, each once: hits, best first, each followed by the items that it links to. Links get half of the places
 * at most; what they leave is filled with further hits.
 */
export function withLinks<Item extends { readonly links: Iterable<Item> }>(
  hits: readonly Item[],
  count: number,
): readonly Item[] {
  const primary = hits.slice(0, Math.ceil(count / 2));
  const isPrimary = new Set(primary);
  let linkedPlaces = count - primary.length;
  const chosen = new Set<Item>();
  for (const hit of primary) {
    chosen.add(hit);
    for (const linked of hit.links) {
      if (linkedPlaces === 0) break;
      if (isPrimary.has(linked) || chosen.has(linked)) continue;
      chosen.add(linked);
      linkedPlaces -= 1;
    }
  }
  for (const hit of hits) {
    if (chosen.size >= count) break;
    chosen.add(hit);
  }
  return [...chosen];
}

function noteLine({ date, content, context, keywords, tags }: Note): string {
  return `(${date}) ${content} | context: ${context} | keywords: ${keywords.join(", ")} | tags: ${tags.join(", ")}`;
}

function toItem({ content, context, keywords, tags, date, turnIds }: Note): ContextItem {
  const text = `${content} (context: ${context}; keywords: ${keywords.join(", ")}; tags: ${tags.join(", ")})`;
  return { text, date, sourceTurnIds: [...turnIds] };
}
