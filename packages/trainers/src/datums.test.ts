import { describe, expect, it } from "vitest";
import { buildDatum, type TrainingSequence } from "./datums.ts";

const sequence: TrainingSequence = {
  promptTokens: [11, 12, 13],
  completionTokens: [21, 22],
  logProbs: [-0.5, -1.5],
  advantages: [0.25, 0.75],
};

describe("buildDatum", () => {
  it("puts prompt and completion into chunks and only the completion into tensors in suffix form", () => {
    const datum = buildDatum(sequence, "suffix");
    expect(datum.model_input.chunks.map((chunk) => chunk.tokens)).toEqual([[11, 12, 13], [21]]);
    expect(datum.loss_fn_inputs).toEqual({
      target_tokens: { data: [21, 22], dtype: "int64", shape: [2] },
      weights: { data: [1, 1], dtype: "float32", shape: [2] },
      logprobs: { data: [-0.5, -1.5], dtype: "float32", shape: [2] },
      advantages: { data: [0.25, 0.75], dtype: "float32", shape: [2] },
    });
    expect(datum).not.toHaveProperty("constraint");
  });

  it("covers every input position in full form, where position i predicts target i", () => {
    const datum = buildDatum(sequence, "full");
    const inputLength = datum.model_input.chunks.flatMap((chunk) => chunk.tokens).length;
    expect(inputLength).toBe(4);
    expect(datum.loss_fn_inputs.target_tokens).toEqual({
      data: [0, 0, 21, 22],
      dtype: "int64",
      shape: [4],
    });
    expect(datum.loss_fn_inputs.weights?.data).toEqual([0, 0, 1, 1]);
    expect(datum.loss_fn_inputs.logprobs?.data).toEqual([0, 0, -0.5, -1.5]);
    expect(datum.loss_fn_inputs.advantages?.data).toEqual([0, 0, 0.25, 0.75]);
  });

  it("has the prompt alone as input for a completion of one token", () => {
    const one = { ...sequence, completionTokens: [21], logProbs: [-0.5], advantages: [1] };
    expect(buildDatum(one, "suffix").model_input.chunks).toEqual([
      { type: "encoded_text", tokens: [11, 12, 13] },
    ]);
  });

  it("carries weights and reference log-probabilities where they are given", () => {
    const datum = buildDatum(
      { ...sequence, weights: [0.5, 0.125], referenceLogProbs: [-0.25, -2] },
      "full",
    );
    expect(datum.loss_fn_inputs.weights?.data).toEqual([0, 0, 0.5, 0.125]);
    expect(datum.loss_fn_inputs.ref_logprobs).toEqual({
      data: [0, 0, -0.25, -2],
      dtype: "float32",
      shape: [4],
    });
  });

  it("passes the constraint on", () => {
    const constraint = { type: "regex", value: "ADD|NOOP" } as const;
    expect(buildDatum({ ...sequence, constraint }, "suffix").constraint).toEqual(constraint);
  });

  it("refuses empty and unequal lists", () => {
    const empty = { completionTokens: [], logProbs: [], advantages: [] };
    expect(() => buildDatum({ ...sequence, ...empty }, "suffix")).toThrow(RangeError);
    expect(() => buildDatum({ ...sequence, promptTokens: [] }, "full")).toThrow(RangeError);
    expect(() => buildDatum({ ...sequence, logProbs: [-1] }, "full")).toThrow(
      /2 completion tokens with 1/,
    );
    expect(() => buildDatum({ ...sequence, advantages: [1] }, "full")).toThrow(RangeError);
    expect(() => buildDatum({ ...sequence, weights: [1] }, "full")).toThrow(/1 weights/);
    expect(() => buildDatum({ ...sequence, referenceLogProbs: [] }, "full")).toThrow(
      /0 ref_logprobs/,
    );
  });
});
