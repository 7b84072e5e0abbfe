export * from "./client.ts";
export * from "./dialects.ts";
export {
  createCheckRunner,
  engineChecks,
  type EngineCheck,
  type EngineCheckResult,
  type EngineSubject,
} from "./engine-checks.ts";
export * from "./generator.ts";
export * from "./inspect.ts";
export { launchEngine, type LaunchOptions, type RunningEngine } from "./launch.ts";
export { defaultCacheDirectory, defaultEngineDirectory } from "./locations.ts";
export * from "./model-facts.ts";
export * from "./prepare.ts";
export * from "./progress.ts";
export { findPython, supportedPythonVersions, type PythonInterpreter } from "./python.ts";
export type { ResolvedModel } from "./resolve-model.ts";
export * from "./skyrl.ts";
export * from "./tokenizer.ts";
export type { EngineFacts } from "./translate.ts";
