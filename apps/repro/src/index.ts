export * from "./cli.ts";
export * from "./run-context.ts";
export { listExperiments } from "./pipeline/list-experiments.ts";
export { resumeExperiment, runExperiment } from "./pipeline/run-experiment.ts";
