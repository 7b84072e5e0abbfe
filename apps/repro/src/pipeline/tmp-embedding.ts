import { type EmbeddingModel, parseValue } from "@memory-r1/spec";
import { z } from "zod";
export function createInferenceEmbedding(options: { model: string; endpointUrl: string; accessToken: string }): EmbeddingModel {
  return {
    description: options.model,
    embed: async (texts) => {
      const response = await fetch(options.endpointUrl, {
        method: "POST",
        headers: { "Content-Type": "application/json", Authorization: `Bearer ${options.accessToken}` },
        body: JSON.stringify({ inputs: texts, normalize: true }),
      });
      const rows = parseValue(await response.json(), z.array(z.array(z.number())), "embed");
      return rows.map((row) => Float32Array.from(row));
    },
  };
}
