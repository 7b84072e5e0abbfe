import { ConfigError } from "@memory-r1/spec";

/** Completions of one prompt that are trained on together; the workers have the same number. */
export const groupSize = 8;

/** One group: eight completions of `completionTokens` each to one prompt of `promptTokens`. */
export interface Shape {
  readonly promptTokens: number;
  readonly completionTokens: number;
}

/** `350+16`: prompt tokens + completion tokens. */
export function formatShape({ promptTokens, completionTokens }: Shape): string {
  return `${promptTokens}+${completionTokens}`;
}

/** Shapes from `350+16,1000+64`. @throws ConfigError where one has another form. */
export function parseShapes(text: string): readonly Shape[] {
  return text.split(",").map((part) => {
    const match = /^([1-9]\d*)\+([1-9]\d*)$/.exec(part.trim());
    if (match === null) {
      throw new ConfigError(
        `--shapes: "${part}" is no shape. Write prompt tokens + completion tokens, as in 350+16,1000+64.`,
      );
    }
    return { promptTokens: Number(match[1]), completionTokens: Number(match[2]) };
  });
}

/** What TRL 1.16.0 was seen to need for SmolLM2-135M in float32 without checkpointing, with a margin. */
const trlMibPerToken = 3.5;
const trlMibFixed = 1500;

/**
 * How many completions of a group TRL's update can take at once in three quarters of the machine's memory: 8, 4, 2 or 1.
 * The rest of the group follows in further passes before the optimiser's step.
 */
export function chooseTrlPass(shape: Shape, machineMib: number): number {
  const tokens = shape.promptTokens + shape.completionTokens;
  const fits = (completions: number): boolean =>
    trlMibFixed + completions * tokens * trlMibPerToken <= 0.75 * machineMib;
  return [groupSize, 4, 2].find(fits) ?? 1;
}
