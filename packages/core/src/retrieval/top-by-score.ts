/** The `count` items with the largest scores, best first; equal scores keep the order of `items`. For short lists. */
export function topByScore<Item>(
  items: readonly Item[],
  scoreOf: (item: Item) => number,
  count: number,
): readonly Item[] {
  return items
    .map((item) => ({ item, score: scoreOf(item) }))
    .toSorted((left, right) => right.score - left.score)
    .slice(0, Math.max(0, count))
    .map(({ item }) => item);
}
