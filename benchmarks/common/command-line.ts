import { ConfigError } from "@memory-r1/spec";

/** A flag's whole number. @throws ConfigError where it is none or smaller */
export function parseCount(flag: string, text: string, smallest: number): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < smallest) {
    throw new ConfigError(`${flag}: "${text}" is not a whole number of ${smallest} or more.`);
  }
  return value;
}
