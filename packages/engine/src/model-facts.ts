import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { ConfigError, parseJson } from "@memory-r1/spec";
import { z } from "zod";
import { readOptional } from "./files.ts";
import type { EngineFacts } from "./translate.ts";

const tokenIdsSchema = z.union([z.array(z.number()), z.number()]).nullish();

/** The part of config.json that counts here; transformers writes the dtype under either name. */
const configSchema = z.looseObject({
  max_position_embeddings: z.int().positive(),
  vocab_size: z.int().positive(),
  eos_token_id: tokenIdsSchema,
  dtype: z.string().optional(),
  torch_dtype: z.string().optional(),
});
const generationConfigSchema = z.looseObject({ eos_token_id: tokenIdsSchema });

/**
 * What the files of a Hugging Face model directory say, for an engine that says nothing.
 * @throws ConfigError if there is no config.json.
 */
export async function readModelFacts(directory: string): Promise<EngineFacts> {
  const file = join(directory, "config.json");
  let text: string;
  try {
    text = await readFile(file, "utf8");
  } catch (cause) {
    throw new ConfigError(`${file} cannot be read: give the folder of a Hugging Face model`, cause);
  }
  const config = parseJson(text, configSchema, file);
  const generationFile = join(directory, "generation_config.json");
  const generation = await readOptional(generationFile);
  const eosTokenIds =
    (generation === undefined
      ? undefined
      : parseJson(generation, generationConfigSchema, generationFile).eos_token_id) ??
    config.eos_token_id ??
    [];
  return {
    maxContextLength: config.max_position_embeddings,
    vocabularySize: config.vocab_size,
    eosTokenIds: typeof eosTokenIds === "number" ? [eosTokenIds] : eosTokenIds,
    dtype: config.dtype ?? config.torch_dtype ?? "unknown",
    device: "unknown",
  };
}
