import { inject } from "vitest";
import { createEngineClient, type EngineClient } from "../client.ts";
import { loadChatTokenizer, type ChatTokenizer } from "../tokenizer.ts";
import type { SharedEngine } from "./shared-engine-setup.ts";

export type SharedEngineConnection = Exclude<SharedEngine, { readonly error: string }> & {
  readonly client: EngineClient;
  readonly tokenizer: ChatTokenizer;
};

/**
 * The engine that shared-engine-setup.ts has started. Each file opens sessions of its own in it.
 * @throws Error with the set-up's message where the engine could not be started.
 */
export async function connectSharedEngine(): Promise<SharedEngineConnection> {
  const shared = inject("sharedEngine");
  if ("error" in shared) throw new Error(`the embedded engine did not start: ${shared.error}`);
  const { baseUrl, token, model } = shared;
  return {
    ...shared,
    client: createEngineClient({ baseUrl, token }),
    tokenizer: await loadChatTokenizer(model.directory),
  };
}
