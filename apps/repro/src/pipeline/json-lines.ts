import { appendFile, mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { parseJson } from "@memory-r1/spec";
import type { z } from "zod";

/** Writes a file so that it is there whole or not at all. */
export async function writeWhole(file: string, text: string): Promise<void> {
  await mkdir(dirname(file), { recursive: true });
  const temporary = `${file}.${process.pid}.tmp`;
  await writeFile(temporary, text);
  await rename(temporary, file);
}

/** The text of a file, or undefined where there is none. */
export async function readIfThere(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, "utf8");
  } catch (cause) {
    if (cause instanceof Error && "code" in cause && cause.code === "ENOENT") return undefined;
    throw cause;
  }
}

/**
 * A file of one JSON record a line that a killed run leaves with, at worst, a half-written last line:
 * reading drops that line, `keep` cuts the file back to a complete batch before work goes on.
 */
export interface JsonLines<T> {
  read(): Promise<T[]>;
  append(records: readonly T[]): Promise<void>;
  keep(records: readonly T[]): Promise<void>;
}

export function jsonLines<T>(file: string, schema: z.ZodType<T>): JsonLines<T> {
  const encode = (records: readonly T[]): string =>
    records.map((record) => `${JSON.stringify(record)}\n`).join("");
  return {
    read: async () => {
      const text = (await readIfThere(file)) ?? "";
      // What follows the last newline was cut off by the end of the process.
      const lines = text.split("\n").slice(0, -1);
      return lines.map((line, index) => parseJson(line, schema, `${file}:${index + 1}`));
    },
    append: async (records) => {
      await mkdir(dirname(file), { recursive: true });
      await appendFile(file, encode(records));
    },
    keep: (records) => writeWhole(file, encode(records)),
  };
}
