import { ConfigError } from "@memory-r1/spec";

/** Hub ids of the embedded models: `EMBEDDED_MODELS` of packages/engine-torch/src/memory_r1_engine/models.py has them. */
export const embeddedModelIds: Readonly<Record<string, string>> = {
  "smollm2-135m-instruct": "HuggingFaceTB/SmolLM2-135M-Instruct",
};

/**
 * The id of the Hugging Face hub that an adapter's readers load its base model by.
 * @throws ConfigError for a folder of this machine, which means nothing elsewhere
 */
export function hubIdOf(model: { readonly name: string; readonly source: string }): string {
  const embedded = embeddedModelIds[model.name];
  if (embedded !== undefined) return embedded;
  if (model.source !== "local" && model.name.includes("/")) return model.name;
  throw new ConfigError(
    `the base model "${model.name}" has no id of the Hugging Face hub, which whoever loads the adapter needs: name it ` +
      "with --base-model, such as --base-model HuggingFaceTB/SmolLM2-135M-Instruct",
  );
}
