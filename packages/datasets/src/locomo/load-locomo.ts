import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import {
  ConfigError,
  DataFormatError,
  DataIntegrityError,
  parseJson,
  type Dataset,
  type SplitDefinition,
} from "@memory-r1/spec";
import { z } from "zod";
import { parseLocomo } from "./parse-locomo.ts";

/** The official locomo10.json (LoCoMo, CC BY-NC 4.0): its address, size and sha256. */
export const locomoRelease = {
  url: "https://raw.githubusercontent.com/snap-research/locomo/main/data/locomo10.json",
  sizeBytes: 2_805_274,
  sha256: "79fa87e90f04081343b8c8debecb80a9a6842b76a7aa537dc9fdf651ea698ff4",
} as const;

/** Memory-R1 (arXiv 2508.19828), section 4: 1:1:8 conversations, 152/81/1307 questions without category 5. */
const memoryR1Split: SplitDefinition = {
  train: ["conv-26"],
  validation: ["conv-30"],
  test: ["conv-41", "conv-42", "conv-43", "conv-44", "conv-47", "conv-48", "conv-49", "conv-50"],
};

const fix = `get the official file again from ${locomoRelease.url}`;

/**
 * Checks that bytes are the official file's. What is no JSON is told as such (a file cut off in a download is the usual
 * case), with the checksums; what is JSON with another checksum was edited or is another release.
 * @throws DataFormatError or DataIntegrityError
 */
export function verifyLocomo(bytes: Uint8Array, source: string): void {
  const sha256 = createHash("sha256").update(bytes).digest("hex");
  if (sha256 === locomoRelease.sha256) return;
  const checksums = `sha256 is ${sha256}, expected ${locomoRelease.sha256}`;
  try {
    parseJson(new TextDecoder().decode(bytes), z.unknown(), source);
  } catch (cause) {
    const sizes = `${bytes.length} of ${locomoRelease.sizeBytes} bytes`;
    const state =
      bytes.length < locomoRelease.sizeBytes
        ? `cut off or another file (${sizes})`
        : `not JSON (${sizes})`;
    throw new DataFormatError({
      source,
      path: "",
      problem: `not valid JSON: the file is ${state}; ${checksums}`,
      fix,
      cause,
    });
  }
  throw new DataIntegrityError({
    file: source,
    expected: locomoRelease.sha256,
    found: sha256,
    fix: `The file was edited or is another release: ${fix}.`,
  });
}

/**
 * Reads, checks and parses the official LoCoMo file.
 * @throws ConfigError where it cannot be read, DataFormatError or DataIntegrityError where it is not the official file.
 */
export async function loadLocomo(options: { readonly file: string }): Promise<Dataset> {
  let bytes: Uint8Array;
  try {
    bytes = await readFile(options.file);
  } catch (cause) {
    throw new ConfigError(
      `${options.file} cannot be read: ${String(cause)}. Check the path and its permissions.`,
      cause,
    );
  }
  verifyLocomo(bytes, options.file);
  return parseLocomo(bytes, {
    name: "locomo",
    source: options.file,
    splits: { "memory-r1": memoryR1Split },
  });
}
