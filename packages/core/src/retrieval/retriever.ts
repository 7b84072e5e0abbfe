/** Anything that can be ranked by its text. Items are never changed in place: one with another text is another item. */
export interface Retrievable {
  readonly text: string;
  /** The date text of a memory, which a retriever that weighs recency reads. */
  readonly updatedAt?: string;
  /** The same of an item that has no `updatedAt`. */
  readonly date?: string;
}

/** Orders texts by how well they match a query. */
export interface Retriever {
  readonly name: string;
  /**
   * The `count` best items (all, where there are fewer), best first. Ties keep the order of `items`.
   * @throws ModelCallError where the embedding model cannot be reached.
   */
  rank<Item extends Retrievable>(
    query: string,
    items: readonly Item[],
    count: number,
  ): Promise<readonly Item[]>;
}

/** An item that has something in common with a query. */
export interface Match {
  /** Of the item in the list that was searched, from 0. */
  readonly position: number;
  /** The larger, the better; comparable within one call only. */
  readonly score: number;
}

/** A retriever that says what it found and how good it is, so that others can build upon it. */
export interface MatchingRetriever extends Retriever {
  /**
   * The `count` best matches, best first; ties keep the order of `items`. Items that do not match at all (BM25: no word
   * in common) are left out, where `rank` puts them behind the others.
   * @throws ModelCallError where the embedding model cannot be reached.
   */
  match(query: string, items: readonly Retrievable[], count: number): Promise<readonly Match[]>;
}

/** A retriever of a name and of what finds matches. `match` is asked only where there are items and a count to find. */
export function createMatchingRetriever(
  name: string,
  find: MatchingRetriever["match"],
): MatchingRetriever {
  const match: MatchingRetriever["match"] = (query, items, count) =>
    items.length === 0 || count < 1 ? Promise.resolve([]) : find(query, items, count);
  return {
    name,
    match,
    rank: async (query, items, count) => {
      const matches = await match(query, items, count);
      return filledUp(matches, items, count);
    },
  };
}

/** The matched items, and behind them the first of the others up to `count`. */
function filledUp<Item>(
  matches: readonly Match[],
  items: readonly Item[],
  count: number,
): readonly Item[] {
  const ranked: Item[] = [];
  const taken = new Set<number>();
  for (const { position } of matches) {
    const item = items[position];
    if (item === undefined) continue;
    ranked.push(item);
    taken.add(position);
  }
  for (const [position, item] of items.entries()) {
    if (ranked.length >= count) break;
    if (!taken.has(position)) ranked.push(item);
  }
  return ranked;
}
