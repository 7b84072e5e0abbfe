import { parseValue } from "@memory-r1/spec";
import { describe, expect, it } from "vitest";
import { z } from "zod";
import { goldenMissing, goldenNote, masked, readGolden } from "./__fixtures__/golden.ts";
import { computeMean } from "./advantages.ts";
import { computeValueLoss } from "./value-loss.ts";

describe("computeValueLoss", () => {
  it.skipIf(goldenMissing)(`equals verl's value loss${goldenNote}`, () => {
    const cases = readGolden();
    const { mask, vpreds, values, returns } = cases.inputs;
    const cut = (rows: readonly (readonly number[])[]) =>
      rows.flatMap((row, index) => masked(row, mask[index] ?? []));
    const predicted = cut(vpreds);
    const sampled = cut(values);
    const targets = cut(returns);
    for (const clip of [0.2, 0.5]) {
      const key = `verl/value_loss/c=${clip}`;
      const theirs = parseValue(
        cases[key],
        z.object({ vf_loss: z.number(), vf_clipfrac: z.number() }),
        key,
      );
      const ours = predicted.map((value, token) =>
        computeValueLoss(value, sampled[token] ?? Number.NaN, targets[token] ?? Number.NaN, {
          clip,
        }),
      );
      const count = ours.length;
      // verl's means divide by the number of tokens + 1e-8; its loss by the number alone.
      const clipped = ours.filter((token) => token.clipped).length / (count + 1e-8);
      expect(Math.abs(clipped - theirs.vf_clipfrac)).toBeLessThan(1e-9);
      const loss = computeMean(ours.map((token) => token.loss));
      expect(Math.abs(loss - theirs.vf_loss)).toBeLessThan(1e-9);
    }
  });

  it("takes the worse of the free and the held value", () => {
    // v 1, before 0, held at 0.2. Return 0: max(1, 0.04); return 1: max(0, 0.64).
    expect(computeValueLoss(1, 0, 0, { clip: 0.2 })).toEqual({
      loss: 0.5,
      slope: 1,
      clipped: false,
    });
    const held = computeValueLoss(1, 0, 1, { clip: 0.2 });
    expect(held.loss).toBeCloseTo(0.32, 12);
    expect(held).toMatchObject({ slope: 0, clipped: true });
    expect(computeValueLoss(9, 0, 1, { clip: Infinity })).toEqual({
      loss: 32,
      slope: 8,
      clipped: false,
    });
  });

  it("has the slope that finite differences show, clipped or not", () => {
    const step = 1e-6;
    for (const value of [-1.3, -0.15, 0.1, 0.9])
      for (const target of [-1, 0.05, 2]) {
        const at = (v: number) => computeValueLoss(v, 0, target, { clip: 0.2 }).loss;
        const difference = (at(value + step) - at(value - step)) / (2 * step);
        const { slope } = computeValueLoss(value, 0, target, { clip: 0.2 });
        expect(Math.abs(slope - difference)).toBeLessThan(1e-8);
      }
  });
});
