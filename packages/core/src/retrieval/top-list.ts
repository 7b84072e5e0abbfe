import TinyQueue from "tinyqueue";
import type { Match } from "./retriever.ts";

/** Keeps the best of many matches. Of equal scores the smaller position is the better one. */
export interface TopList {
  /** @param score a number, never NaN. */
  offer(position: number, score: number): void;
  /** Best first. */
  matches(): readonly Match[];
}

/** @param count how many are kept; none where it is below 1. */
export function createTopList(count: number): TopList {
  const worstFirst = new TinyQueue<Match>([], (left, right) => -compareMatches(left, right));
  return {
    offer: (position, score) => {
      if (worstFirst.length < count) {
        worstFirst.push({ position, score });
        return;
      }
      const worst = worstFirst.peek();
      if (worst === undefined || score < worst.score) return;
      if (score === worst.score && position > worst.position) return;
      worstFirst.pop();
      worstFirst.push({ position, score });
    },
    matches: () => worstFirst.data.toSorted(compareMatches),
  };
}

function compareMatches(left: Match, right: Match): number {
  return right.score - left.score || left.position - right.position;
}
