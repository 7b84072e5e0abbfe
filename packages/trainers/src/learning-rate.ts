/** Rises linearly to `peak` over `warmUpSteps` steps, then stays there. 0 warm-up steps is a constant rate. */
export interface LearningRateOptions {
  readonly peak: number;
  readonly warmUpSteps: number;
}

/** The rate of 0-based `step`: peak * (step + 1) / warmUpSteps while it warms up, so that no step has rate 0. */
export function computeLearningRate(step: number, options: LearningRateOptions): number {
  return step < options.warmUpSteps
    ? (options.peak * (step + 1)) / options.warmUpSteps
    : options.peak;
}
