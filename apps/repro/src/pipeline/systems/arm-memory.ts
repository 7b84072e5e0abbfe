import type { ContextItem, Conversation, MemoryEntry } from "@memory-r1/spec";
import type { Arm } from "../../experiment.ts";
import type { Evaluation } from "../evaluate-arms.ts";
import type { PlayedEpisode } from "../play-episodes.ts";
import { managerMemoryName } from "../play-managers.ts";
import { noUsage } from "./model-usage.ts";
import { type PlayedMemory, turnsOf } from "./play-systems.ts";

/** The arms that read memories of their own: all but the controls. */
export function readingArms(arms: readonly Arm[]): readonly Arm[] {
  return arms.filter(({ context }) => context === "retrieved");
}

/** Whether a cross-encoder chooses what an arm shows: its memory is then read as a store, and neither searches nor answers. */
export function reranks({ rerank }: Arm): boolean {
  return rerank !== undefined;
}

/** The name of the memory that an arm reads: arms that share it differ in their reader. */
export function memoryName({ memory }: Arm): string {
  return memory.kind === "baseline" ? memory.baseline : managerMemoryName(memory.manager);
}

/** What the arm's memory of a conversation came to, whether a baseline or a Manager made it. */
export function memoryOf(
  arm: Arm,
  conversation: Conversation,
  { systems, banks }: Pick<Evaluation, "systems" | "banks">,
): PlayedMemory | undefined {
  const { memory } = arm;
  if (memory.kind === "baseline") {
    return systems.get(memory.baseline)?.get(conversation.id)?.memory;
  }
  const episode = banks.get(memory.manager)?.get(conversation.id);
  return episode === undefined ? undefined : ofBank(episode, conversation);
}

function ofBank(episode: PlayedEpisode, conversation: Conversation): PlayedMemory {
  const texts = episode.bank
    .journal()
    .flatMap(({ operation }) =>
      operation.kind === "ADD" || operation.kind === "UPDATE" ? [operation.text] : [],
    );
  return {
    turns: turnsOf(conversation),
    stored: episode.bank.entries().map(toItem),
    everStored: new Set(texts),
    counts: {
      operations: episode.operations,
      unparsable: episode.unparsable,
      rejected: episode.rejected,
    },
    usage: episode.usage ?? noUsage,
    // A Manager decides on facts with their dates, and sees no turn.
    read: new Set(["fact.text", "session.dateText"]),
    embeddedTexts: undefined,
    embeddedWhileTold: undefined,
  };
}

function toItem({ text, updatedAt, sourceTurnIds }: MemoryEntry): ContextItem {
  return { text, date: updatedAt, sourceTurnIds };
}
