import { parseValue } from "@memory-r1/spec";
import { describe, expect, it } from "vitest";
import { z } from "zod";
import { goldenMissing, goldenNote, masked, readGolden } from "./__fixtures__/golden.ts";
import { computeExplainedVariance, computeGae, whiten } from "./gae.ts";

const matrix = z.array(z.array(z.number()));
const verlSchema = z.object({ advantages: matrix, returns: matrix });
const trlSchema = z.object({
  values: matrix,
  sequence_lengths: z.array(z.int()),
  rewards: matrix,
  advantages: matrix,
  returns: matrix,
  gamma: z.number(),
  lam: z.number(),
});

function expectRows(
  ours: readonly (readonly number[])[],
  theirs: readonly (readonly number[])[],
): void {
  expect(ours.map((row) => row.length)).toEqual(theirs.map((row) => row.length));
  for (const [index, row] of ours.entries())
    for (const [token, value] of row.entries())
      expect(Math.abs(value - (theirs[index]?.[token] ?? Number.NaN))).toBeLessThan(1e-9);
}

describe("computeGae and whiten", () => {
  it.skipIf(goldenMissing)(`equal verl's advantages and returns${goldenNote}`, () => {
    expect.hasAssertions();
    const cases = readGolden();
    const { mask, token_level_rewards, values } = cases.inputs;
    const cut = (rows: readonly (readonly number[])[]) =>
      rows.map((row, index) => masked(row, mask[index] ?? []));
    const key = "verl/gae/gamma=1.0/lam=1.0";
    const theirs = parseValue(cases[key], verlSchema, key);
    const ours = computeGae(cut(token_level_rewards), cut(values), { gamma: 1, lambda: 1 });
    expectRows(ours.returns, cut(theirs.returns));
    expectRows(whiten(ours.advantages, { divisorEpsilon: 1e-8 }), cut(theirs.advantages));
  });

  it.skipIf(goldenMissing)(`equal TRL's, which rewards one position later${goldenNote}`, () => {
    expect.hasAssertions();
    const cases = readGolden();
    const key = "trl/ppo/k1";
    const theirs = parseValue(cases[key], trlSchema, key);
    const lengths = theirs.sequence_lengths.map((last) => last + 1);
    const head = (rows: readonly (readonly number[])[], extra: number) =>
      rows.map((row, index) => row.slice(0, (lengths[index] ?? Number.NaN) + extra));
    const ours = computeGae(head(theirs.rewards, 1), head(theirs.values, 1), {
      gamma: theirs.gamma,
      lambda: theirs.lam,
    });
    expectRows(ours.returns, head(theirs.returns, 1));
    expectRows(whiten(head(ours.advantages, 0)), head(theirs.advantages, 0));
  });
});

describe("computeGae", () => {
  it("discounts by hand", () => {
    // d = [0 + 0.5 * 2 - 1, 4 - 2] = [0, 2]; A = [0 + 0.5 * 0.5 * 2, 2].
    const { advantages, returns } = computeGae([[0, 4]], [[1, 2]], { gamma: 0.5, lambda: 0.5 });
    expect(advantages).toEqual([[0.5, 2]]);
    expect(returns).toEqual([[1.5, 4]]);
  });

  it("with lambda 0 looks one step ahead, with lambda 1 at the whole return", () => {
    const rewards = [[1, 0, 3]];
    const values = [[5, 7, 2]];
    // 1 + 7 - 5, 0 + 2 - 7, 3 - 2
    expect(computeGae(rewards, values, { gamma: 1, lambda: 0 }).advantages).toEqual([[3, -5, 1]]);
    // 4 - 5, 3 - 7, 3 - 2
    expect(computeGae(rewards, values, { gamma: 1, lambda: 1 }).advantages).toEqual([[-1, -4, 1]]);
  });

  it("takes no sequences and empty ones, and refuses other shapes", () => {
    const options = { gamma: 1, lambda: 1 };
    expect(computeGae([], [], options)).toEqual({ advantages: [], returns: [] });
    expect(computeGae([[]], [[]], options)).toEqual({ advantages: [[]], returns: [[]] });
    expect(() => computeGae([[1]], [], options)).toThrow(RangeError);
    expect(() => computeGae([[1]], [[1, 2]], options)).toThrow("1 rewards and 2 values");
  });
});

describe("whiten", () => {
  it("counts every token the same, whatever its sequence", () => {
    // 1, 3, 5: mean 3, variance 4.
    expect(whiten([[1], [3, 5]], { epsilon: 0 })).toEqual([[-1], [0, 1]]);
    expect(whiten([[1], [3, 5]], { epsilon: 0, keepMean: true })).toEqual([[2], [3, 4]]);
  });

  it("makes equal values zeros, and so a single one and none", () => {
    expect(whiten([[2, 2]])).toEqual([[0, 0]]);
    expect(whiten([[7], []])).toEqual([[0], []]);
    expect(whiten([[7]], { keepMean: true })).toEqual([[7]]);
    expect(whiten([])).toEqual([]);
  });
});

describe("computeExplainedVariance", () => {
  it("is 1 for a perfect critic, 0 for a constant one, negative for a wrong one", () => {
    expect(computeExplainedVariance([1, 2, 3], [1, 2, 3])).toBe(1);
    // var(returns) 1, var(errors) 1.
    expect(computeExplainedVariance([1, 2, 3], [5, 5, 5])).toBeCloseTo(1e-5, 7);
    // errors -2, 0, 2: variance 4.
    expect(computeExplainedVariance([1, 2, 3], [3, 2, 1])).toBeCloseTo(-3, 3);
    expect(computeExplainedVariance([1], [1])).toBeUndefined();
    expect(() => computeExplainedVariance([1], [])).toThrow(RangeError);
  });
});
