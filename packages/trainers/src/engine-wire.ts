import type { EngineClient } from "@memory-r1/engine";
import {
  ConfigError,
  ModelCallError,
  type ForwardBackwardOutput,
  type LossFunction,
} from "@memory-r1/spec";
import type { Decision, TargetAlignment } from "./datums.ts";

/**
 * The alignment to speak with an engine.
 * @throws ConfigError if it does not sum losses or lacks one of them
 */
export async function checkEngine(
  client: Pick<EngineClient, "getServerCapabilities">,
  losses: readonly LossFunction[],
): Promise<TargetAlignment> {
  const capabilities = await client.getServerCapabilities();
  const engineName = `engine ${capabilities.engine.name} ${capabilities.engine.version}`;
  if (capabilities.reduction !== "sum")
    throw new ConfigError(
      `${engineName} reduces losses by ${capabilities.reduction}, but advantages are scaled for a sum: use another engine`,
    );
  for (const loss of losses)
    if (!capabilities.loss_fns.includes(loss))
      throw new ConfigError(`${engineName} has no loss "${loss}": use another engine`);
  return capabilities.target_alignment.includes("suffix") ? "suffix" : "full";
}

/** The norm of an optimiser step's metrics, in the names of the embedded engine and of SkyRL. */
export function readGradientNorm(metrics: Readonly<Record<string, number>>): {
  readonly gradientNorm?: number;
} {
  const gradientNorm = metrics["grad_norm:last"] ?? metrics["skyrl.ai/grad_norm"];
  return gradientNorm === undefined ? {} : { gradientNorm };
}

/** The completions' part of a per-position output: its last entries, in either alignment. */
export function readCompletions(
  output: ForwardBackwardOutput,
  decisions: readonly Pick<Decision, "completionTokens">[],
  field: "logprobs" | "entropy" | "values",
): readonly (readonly number[])[] {
  return decisions.map(({ completionTokens }, index) => {
    const values =
      output.loss_fn_outputs[index]?.[field]?.data.slice(-completionTokens.length) ?? [];
    if (values.length !== completionTokens.length)
      throw new ModelCallError(
        `the engine gave ${values.length} values of ${field} for the ${completionTokens.length} completion tokens of ` +
          `datum ${index}: it does not speak this version of the protocol`,
        { retryable: false },
      );
    return values;
  });
}
