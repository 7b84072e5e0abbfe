import type { AdamParams } from "@memory-r1/spec";

/** Parameters of one row with Adam's moments. */
export interface AdamRow {
  values: number[];
  mean: number[];
  square: number[];
}

/** One Adam step (the `step`-th, from 1) of a row, in place. Returns the squared norm of the gradient. */
export function stepAdam(
  row: AdamRow,
  gradient: readonly number[],
  step: number,
  adam: AdamParams,
): number {
  let norm = 0;
  for (const [k, slope] of gradient.entries()) {
    norm += slope ** 2;
    const mean = adam.beta1 * (row.mean[k] ?? 0) + (1 - adam.beta1) * slope;
    const square = adam.beta2 * (row.square[k] ?? 0) + (1 - adam.beta2) * slope ** 2;
    row.mean[k] = mean;
    row.square[k] = square;
    const move =
      mean / (1 - adam.beta1 ** step) / (Math.sqrt(square / (1 - adam.beta2 ** step)) + adam.eps);
    row.values[k] = (row.values[k] ?? 0) - adam.learning_rate * move;
  }
  return norm;
}
