import { appendFile, mkdir, readFile } from "node:fs/promises";
import { dirname } from "node:path";
import { writeFileAtomic } from "@memory-r1/report";
import { parseJson } from "@memory-r1/spec";
import type { z } from "zod";

/** The text of a file, or undefined where there is none. */
export async function readIfThere(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, "utf8");
  } catch (cause) {
    if (cause instanceof Error && "code" in cause && cause.code === "ENOENT") return undefined;
    throw cause;
  }
}

/** A file of one JSON record a line, which a killed run can leave with a half-written last line. */
export interface JsonLines<T> {
  /** The records of all whole lines; none where there is no file. @throws DataFormatError naming file and line */
  read(): Promise<T[]>;
  append(records: readonly T[]): Promise<void>;
  /**
   * Makes the file hold these records and nothing else. Needed once before the first `append` to a file that an
   * earlier process may have left: what is appended to half a line is lost with it.
   */
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
    keep: (records) => writeFileAtomic(file, encode(records)),
  };
}
