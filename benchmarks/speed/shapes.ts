import { ConfigError } from "@memory-r1/spec";

/** One group: `groupSize` completions of `completionTokens` each to one prompt of `promptTokens`. */
export interface Shape {
  readonly promptTokens: number;
  readonly completionTokens: number;
  readonly groupSize: number;
}

const defaultGroupSize = 8;

/** `350+16`: prompt tokens + completion tokens, of a group of 8; `350+16x32` of another group. */
export function formatShape({ promptTokens, completionTokens, groupSize }: Shape): string {
  const group = groupSize === defaultGroupSize ? "" : `x${groupSize}`;
  return `${promptTokens}+${completionTokens}${group}`;
}

/** Shapes from `350+16,1000+64x4`. @throws ConfigError where one has another form. */
export function parseShapes(flag: string, text: string): readonly Shape[] {
  return text.split(",").map((part) => {
    const match = /^([1-9]\d*)\+([1-9]\d*)(?:x([1-9]\d*))?$/.exec(part.trim());
    const shape = {
      promptTokens: Number(match?.[1]),
      completionTokens: Number(match?.[2]),
      groupSize: Number(match?.[3] ?? defaultGroupSize),
    };
    // A group of one has no advantage, and so no gradient.
    if (match === null || shape.groupSize < 2) {
      throw new ConfigError(
        `${flag}: "${part}" is no shape. Write prompt tokens + completion tokens, and x and a group of 2 or more ` +
          `where it is not ${defaultGroupSize}: 350+16,1000+64x4.`,
      );
    }
    return shape;
  });
}

/** What TRL 1.16.0 was seen to need for SmolLM2-135M in float32 without checkpointing, with a margin. */
const trlMibPerToken = 3.5;
const trlMibFixed = 1500;

/**
 * How many completions of a group TRL's update can take at once in three quarters of the machine's memory: the largest
 * divisor of the group that fits, or 1. The rest of the group follows in further passes before the optimiser's step.
 */
export function chooseTrlPass({ groupSize, ...shape }: Shape, machineMib: number): number {
  const tokens = shape.promptTokens + shape.completionTokens;
  const fits = (completions: number): boolean =>
    trlMibFixed + completions * tokens * trlMibPerToken <= 0.75 * machineMib;
  const divisors = Array.from({ length: groupSize }, (_, index) => groupSize - index).filter(
    (completions) => groupSize % completions === 0,
  );
  return divisors.find(fits) ?? 1;
}
