import { ConfigError, type LoraConfig } from "@memory-r1/spec";
import { layOutDatum } from "./datums.ts";
import type { PolicyClient } from "./engine-adapter.ts";
import { checkEngine, readCompletions, readGradientNorm } from "./engine-wire.ts";
import type { CriticEngine } from "./policy-engine.ts";

export interface CriticEngineOptions {
  readonly client: PolicyClient;
  readonly sessionId: string;
  /** One of the engine's `supported_models`: the policy's, so that both share its frozen weights. */
  readonly baseModel: string;
  readonly lora: LoraConfig;
}

/**
 * A new critic on an engine: a LoRA adapter and a value head on the base model. Its values do not depend on the grammar
 * under which something was sampled.
 * @throws ConfigError if the engine does not sum losses or has no critics
 */
export async function createCriticEngine(options: CriticEngineOptions): Promise<CriticEngine> {
  const { client, sessionId, baseModel, lora } = options;
  const alignment = await checkEngine(client, ["ppo_critic"]);
  const { roles } = await client.getServerCapabilities();
  if (!roles.includes("critic"))
    throw new ConfigError("the engine has no critics, which PPO needs: use GRPO or another engine");
  const modelId = await client.createModel({ sessionId, baseModel, role: "critic", lora });
  return {
    async values(decisions) {
      const output = await client.forward(modelId, {
        data: decisions.map(({ promptTokens, completionTokens }) => {
          const zeros = completionTokens.map(() => 0);
          const weights = completionTokens.map(() => 1);
          return layOutDatum(
            { promptTokens, completionTokens },
            { weights, values: zeros, returns: zeros },
            alignment,
          );
        }),
        loss_fn: "ppo_critic",
      });
      return readCompletions(output, decisions, "values");
    },
    async forwardBackward(sequences, clip) {
      const output = await client.forwardBackward(modelId, {
        data: sequences.map(({ promptTokens, completionTokens, values, returns, weights }) =>
          layOutDatum({ promptTokens, completionTokens }, { weights, values, returns }, alignment),
        ),
        loss_fn: "ppo_critic",
        loss_fn_config: { value_clip: clip },
      });
      return { values: readCompletions(output, sequences, "values") };
    },
    optimStep: async (adam) => readGradientNorm(await client.optimStep(modelId, adam)),
    saveState: (name) => client.saveWeights(modelId, name),
    loadState: (path) => client.loadWeights(modelId, path, { optimizer: true }),
  };
}
