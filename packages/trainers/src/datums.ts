import type { Constraint, Datum } from "@memory-r1/spec";

/** One completion of one prompt, as it was sampled. */
export interface Decision {
  readonly promptTokens: readonly number[];
  /** The stop token included where one was sampled. */
  readonly completionTokens: readonly number[];
  /** Natural-log probability of each completion token at sampling, after the constraint's mask. */
  readonly logProbs: readonly number[];
  /** The grammar under which it was sampled. */
  readonly constraint?: Constraint;
}

/** A decision to learn from: one value per completion token. Advantages or weights carry the aggregation's scale. */
export interface TrainingSequence extends Decision {
  readonly advantages: readonly number[];
  /** What each token's loss is multiplied by; absent: 1. */
  readonly weights?: readonly number[] | undefined;
  /** Log-probabilities under the reference policy, for a loss with a KL term. */
  readonly referenceLogProbs?: readonly number[] | undefined;
}

/** A completion to imitate: the loss is -weight * log-probability, so that weights carry the aggregation's scale. */
export interface ImitatedSequence extends Omit<Decision, "logProbs"> {
  readonly weights: readonly number[];
}

/** A completion for the critic to learn from: values at sampling, what they should have been, and scales. */
export interface CriticSequence extends Omit<Decision, "logProbs"> {
  readonly values: readonly number[];
  readonly returns: readonly number[];
  readonly weights: readonly number[];
}

/** Which form of `target_tokens` an engine takes (its capability `target_alignment`). */
export type TargetAlignment = "full" | "suffix";

/**
 * The wire form of C completion tokens after P prompt tokens, with one number per completion token in each tensor.
 * The prompt is chunk 0, alone, so that the engine runs sequences of one prompt as one packed row; chunk 1 is the
 * completion without its last token, left out where that is nothing.
 * `suffix`: tensors hold the C completion positions. `full`: P + C - 1 positions, where the first P - 1 only predict
 * the prompt and are 0 in every tensor.
 * @throws RangeError if the prompt or the completion is empty, or lengths differ.
 */
export function layOutDatum(
  { promptTokens, completionTokens, constraint }: Omit<Decision, "logProbs">,
  tensors: Readonly<Partial<Record<LossTensor, readonly number[]>>>,
  alignment: TargetAlignment,
): Datum {
  if (promptTokens.length === 0 || completionTokens.length === 0)
    throw new RangeError(
      `a training sequence needs a prompt and a completion, found ${promptTokens.length} and ${completionTokens.length} tokens`,
    );
  const padding = zeros(alignment === "full" ? promptTokens.length - 1 : 0);
  const tensor = (dtype: "int64" | "float32", values: readonly number[]) => ({
    data: [...padding, ...values],
    dtype,
    shape: [padding.length + values.length],
  });
  for (const [name, values] of Object.entries(tensors))
    if (values.length !== completionTokens.length)
      throw new RangeError(
        `${completionTokens.length} completion tokens with ${values.length} ${name}`,
      );
  const rest = completionTokens.slice(0, -1);
  return {
    model_input: {
      chunks: [
        { type: "encoded_text", tokens: [...promptTokens] },
        ...(rest.length === 0 ? [] : [{ type: "encoded_text" as const, tokens: rest }]),
      ],
    },
    loss_fn_inputs: {
      target_tokens: tensor("int64", completionTokens),
      ...Object.fromEntries(
        Object.entries(tensors).map(([name, values]) => [name, tensor("float32", values)]),
      ),
    },
    ...(constraint === undefined ? {} : { constraint }),
  };
}

type LossTensor = Exclude<keyof Datum["loss_fn_inputs"], "target_tokens">;

/** What `layOutDatum` makes of a sequence that a policy loss is to learn from. @throws RangeError as it does */
export function buildDatum(sequence: TrainingSequence, alignment: TargetAlignment): Datum {
  const { completionTokens, logProbs: logprobs, advantages, referenceLogProbs } = sequence;
  return layOutDatum(
    sequence,
    {
      weights: sequence.weights ?? completionTokens.map(() => 1),
      logprobs,
      advantages,
      ...(referenceLogProbs === undefined ? {} : { ref_logprobs: referenceLogProbs }),
    },
    alignment,
  );
}

function zeros(count: number): number[] {
  return Array.from({ length: count }, () => 0);
}
