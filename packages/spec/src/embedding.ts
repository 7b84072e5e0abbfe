/** Turns texts into vectors of one dimension. */
export interface EmbeddingModel {
  readonly description: string;
  /** [n texts] -> [n][d] unit-length vectors, in order. @throws ModelCallError */
  embed(texts: readonly string[]): Promise<readonly Float32Array[]>;
}
