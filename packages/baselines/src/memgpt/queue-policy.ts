import type { AgentMessage, MessageKind } from "./agent-state.ts";

/** Where the two published versions of MemGPT differ. */
export interface QueuePolicy {
  readonly name: "2023" | "2024";
  /** Most characters of a core memory block. */
  readonly blockCharacters: number;
  /** Share of the most tokens of a prompt above which a call's, prompt and reply, are memory pressure. */
  readonly warningShare: number;
  /** Which messages `conversation_search` reads. */
  readonly searchedKinds: readonly MessageKind[];
  /**
   * How many of the oldest messages of a queue that overflowed are to be summarised. One or none means that nothing is
   * gained: a summary would take its place.
   */
  readonly countToSummarize: (sizes: QueueSizes) => number;
}

export interface QueueSizes {
  readonly queue: readonly AgentMessage[];
  readonly tokensOf: (message: AgentMessage) => number;
  /** Most tokens of a prompt. */
  readonly window: number;
}

/** 7000 tokens of gpt-4's 8192. Source: cpacker/MemGPT 9690527c, memgpt/constants.py. */
const warningShare2023 = 7000 / 8192;
/** Share of the warning level that stays in the queue. Source: the same commit, summarize_messages_inplace. */
const keptShare2023 = 0.2;
/** Share of the queue's tokens that is summarised, and the newest messages that never are. Source: 77f9c4a6, letta/constants.py. */
const summarizedShare2024 = 0.75;
const keptMessages2024 = 3;

const isOfUser = (message: AgentMessage | undefined): boolean =>
  message !== undefined && ["turn", "event", "summary"].includes(message.kind);

/** As of October 2023, the time of the paper (cpacker/MemGPT 9690527c). */
export const policy2023: QueuePolicy = {
  name: "2023",
  blockCharacters: 2000,
  warningShare: warningShare2023,
  searchedKinds: ["turn", "summary", "reply"],
  countToSummarize: ({ queue, tokensOf, window }) => {
    const wanted = warningShare2023 * window * keptShare2023;
    let cut = queue.length - 1;
    let kept = 0;
    for (const message of queue.toReversed()) {
      kept += tokensOf(message);
      if (kept >= wanted) break;
      cut -= 1;
    }
    cut = Math.min(queue.length - 3, cut);
    return isOfUser(queue[cut]) ? cut + 1 : cut;
  },
};

/** As of December 2024 (letta-ai/letta 77f9c4a6). */
export const policy2024: QueuePolicy = {
  name: "2024",
  blockCharacters: 5000,
  warningShare: 0.75,
  searchedKinds: ["turn", "summary"],
  countToSummarize: ({ queue, tokensOf }) => {
    const sizes = queue.map(tokensOf);
    const wanted = Math.floor(sizes.reduce((sum, size) => sum + size, 0) * summarizedShare2024);
    const candidates = sizes.slice(0, -keptMessages2024);
    if (candidates.length === 0) return 0;
    let cut = 0;
    let taken = 0;
    for (const [index, size] of candidates.entries()) {
      cut = index;
      taken += size;
      if (taken > wanted) break;
    }
    if (isOfUser(queue[cut])) cut += 1;
    while (queue[cut]?.kind === "result") cut += 1;
    return cut;
  },
};
