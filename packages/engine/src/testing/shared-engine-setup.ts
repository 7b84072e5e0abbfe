import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { HarnessError } from "@memory-r1/spec";
import type { TestProject } from "vitest/node";
import { launchEngine, type RunningEngine } from "../launch.ts";
import { writeTinyReranker } from "./tiny-reranker.ts";

/** What a test needs to talk to the engine that all test files share, or why there is none. */
export type SharedEngine =
  | (Pick<RunningEngine, "baseUrl" | "token" | "model" | "embedding"> & {
      readonly checkpointsDirectory: string;
    })
  | { readonly error: string };

declare module "vitest" {
  interface ProvidedContext {
    sharedEngine: SharedEngine;
  }
}

/**
 * Starts one embedded engine with the default models and a tiny reranker for every test file of a vitest project
 * (`globalSetup`): a start takes ten seconds. The first on a machine installs the Python environment and converts the
 * models, which takes minutes.
 */
export async function setup(project: TestProject): Promise<() => Promise<void>> {
  const folder = await mkdtemp(join(tmpdir(), "memory-r1-engine-"));
  const checkpointsDirectory = join(folder, "checkpoints");
  let engine: RunningEngine | undefined;
  try {
    engine = await launchEngine({
      reranker: await writeTinyReranker(join(folder, "tiny-reranker")),
      checkpointsDirectory,
      logFile: join(folder, "engine.txt"),
    });
    const { baseUrl, token, model, embedding } = engine;
    project.provide("sharedEngine", { baseUrl, token, model, embedding, checkpointsDirectory });
  } catch (error) {
    // The other tests of the same command need no engine: only those that do fail, with this message.
    if (!HarnessError.isInstance(error)) throw error;
    project.provide("sharedEngine", { error: error.message });
  }
  return async () => {
    await engine?.stop();
    await rm(folder, { recursive: true, force: true });
  };
}
