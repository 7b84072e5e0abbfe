import { readFile } from "node:fs/promises";
import { ConfigError } from "@memory-r1/spec";

/** @throws ConfigError where the file cannot be read */
export async function readWholeFile(file: string): Promise<Uint8Array> {
  try {
    return await readFile(file);
  } catch (cause) {
    throw new ConfigError(
      `${file} cannot be read: ${String(cause)}. Check the path and its permissions.`,
      cause,
    );
  }
}
