import { ConfigError } from "@memory-r1/spec";

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
