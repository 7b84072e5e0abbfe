/** Anything that can be ranked by its text. */
export interface Retrievable {
  readonly text: string;
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

/** The `count` items with the largest scores, best first; equal scores keep the order of `items`. */
export function topByScore<Item>(
  items: readonly Item[],
  scoreOf: (item: Item, position: number) => number,
  count: number,
): readonly Item[] {
  return items
    .map((item, position) => ({ item, score: scoreOf(item, position) }))
    .toSorted((left, right) => right.score - left.score)
    .slice(0, Math.max(0, count))
    .map(({ item }) => item);
}
