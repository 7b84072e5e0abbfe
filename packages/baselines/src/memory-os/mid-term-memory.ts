import {
  computeHeat,
  computeHoursBetween,
  computeInsertionScore,
  computeSimilarity,
} from "./memory-os-formulas.ts";
import type { Page } from "./page.ts";

const insertionThreshold = 0.6;

/** What a page tells of one theme. */
export interface Theme {
  readonly summary: string;
  /** Unit-length embedding of the summary. */
  readonly vector: Float32Array;
  readonly keywords: readonly string[];
}

/** Pages of one theme. */
export interface Segment {
  readonly summary: string;
  readonly vector: Float32Array;
  /** The page that the summary was written from. */
  readonly origin: Page;
  readonly keywords: Set<string>;
  readonly pages: Set<Page>;
  /** Pages that joined since the segment was last analysed. */
  interactions: number;
  /** How often something joined, for the eviction of what is least used. */
  uses: number;
  lastUse: string | undefined;
}

export interface MidTermMemory {
  readonly segments: readonly Segment[];
  /**
   * Puts a page into the segment that fits a theme best, or into a new one. The least used segment makes room; of
   * equals, the oldest.
   * @param now local date-time of the conversation, where it is known
   */
  insert(page: Page, theme: Theme, now: string | undefined): InsertResult;
  /** The hottest segment, of equals the oldest; undefined where there is none. */
  hottest(
    now: string | undefined,
  ): { readonly segment: Segment; readonly heat: number } | undefined;
}

export interface InsertResult {
  readonly joined: boolean;
  readonly evicted: readonly Segment[];
}

export function createMidTermMemory(capacity: number): MidTermMemory {
  const segments: Segment[] = [];

  function best(theme: Theme): Segment | undefined {
    let found: { segment: Segment; score: number } | undefined;
    for (const segment of segments) {
      const score = computeInsertionScore({
        similarity: computeSimilarity(theme.vector, segment.vector),
        pageKeywords: theme.keywords,
        segmentKeywords: segment.keywords,
      });
      if (found === undefined || score > found.score) found = { segment, score };
    }
    return found !== undefined && found.score >= insertionThreshold ? found.segment : undefined;
  }

  function makeRoom(): readonly Segment[] {
    const evicted: Segment[] = [];
    while (segments.length >= capacity) {
      const fewest = Math.min(...segments.map(({ uses }) => uses));
      const position = segments.findIndex(({ uses }) => uses === fewest);
      evicted.push(...segments.splice(position, 1));
    }
    return evicted;
  }

  return {
    segments,
    insert: (page, theme, now) => {
      const segment = best(theme);
      if (segment === undefined) {
        const evicted = makeRoom();
        segments.push({
          summary: theme.summary,
          vector: theme.vector,
          origin: page,
          keywords: new Set(theme.keywords),
          pages: new Set([page]),
          interactions: 1,
          uses: 1,
          lastUse: now,
        });
        return { joined: false, evicted };
      }
      for (const keyword of theme.keywords) segment.keywords.add(keyword);
      // Both themes of a page can fit one segment: the page is there once.
      if (!segment.pages.has(page)) segment.interactions += 1;
      segment.pages.add(page);
      segment.uses += 1;
      segment.lastUse = now;
      return { joined: true, evicted: [] };
    },
    hottest: (now) => {
      let found: { segment: Segment; heat: number } | undefined;
      for (const segment of segments) {
        const { interactions, lastUse } = segment;
        // Only questions visit a segment, and they leave the memory as it is.
        const heat = computeHeat({
          visits: 0,
          interactions,
          hoursSinceUse: computeHoursBetween(lastUse, now),
        });
        if (found === undefined || heat > found.heat) found = { segment, heat };
      }
      return found;
    },
  };
}
