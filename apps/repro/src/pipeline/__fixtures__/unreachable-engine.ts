import { type ChatTokenizer, createEngineClient } from "@memory-r1/engine";
import type { RunServices } from "../run-services.ts";

/** For agents that are scripted: nothing asks this engine, and nothing would answer. */
export function unreachableEngine(
  tokenizer: ChatTokenizer,
  checkpointsDirectory: string,
): RunServices["engine"] {
  return {
    client: createEngineClient({ baseUrl: "http://127.0.0.1:9", token: "" }),
    sessionId: "",
    baseModel: "",
    tokenizer,
    checkpointsDirectory,
  };
}
