/** Says how much texts have to do with a query, reading both together (a cross-encoder). */
export interface Reranker {
  readonly description: string;
  /**
   * One score for each text, in the order of the texts. The larger, the better; comparable for one query only. Equal
   * texts have equal scores. @throws ModelCallError
   */
  score(query: string, texts: readonly string[]): Promise<readonly number[]>;
}
