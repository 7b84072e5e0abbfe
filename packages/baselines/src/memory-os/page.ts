/** A turn on a page: who said what, in one text. */
export interface PageTurn {
  readonly id: string;
  readonly text: string;
}

/** Two turns of one session that follow each other, or its last one alone. */
export interface Page {
  readonly sessionId: string;
  readonly date: string;
  readonly turns: PageTurn[];
  /** Set when the page leaves short-term memory. */
  vector: Float32Array | undefined;
  chain: PageChain | undefined;
  /** Whether long-term memory was drawn from it. */
  analysed: boolean;
}

/** Pages that go on with each other, and one overview of them all. */
export interface PageChain {
  readonly pages: Page[];
  overview: string;
}

/** What was said on a page, a line for each turn. */
export function pageText({ turns }: Page): string {
  return turns.map(({ text }) => text).join("\n");
}

/** The turns of pages, each once, in order. */
export function turnIdsOf(pages: Iterable<Page>): readonly string[] {
  return [...new Set([...pages].flatMap(({ turns }) => turns.map(({ id }) => id)))];
}
