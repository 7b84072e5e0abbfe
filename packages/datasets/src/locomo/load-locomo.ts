import { createHash } from "node:crypto";
import {
  DataFormatError,
  DataIntegrityError,
  type Dataset,
  type SplitDefinition,
} from "@memory-r1/spec";
import type { DatasetFault } from "../dataset-definition.ts";
import { datasetOf, type DatasetReading } from "../dataset-reading.ts";
import { readJson } from "../files/read-json.ts";
import { readWholeFile } from "../files/read-whole-file.ts";
import { readLocomoKnownIssues } from "./known-issues.ts";
import { parseLocomo, readLocomo } from "./parse-locomo.ts";

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

function sha256Of(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/**
 * Reads, checks and parses the official LoCoMo file. What is no JSON is told as such (a file cut off in a download is the
 * usual case), with the checksums; what is JSON with another checksum was edited or is another release.
 * @throws ConfigError where it cannot be read, DataFormatError or DataIntegrityError where it is not the official file.
 */
export async function loadLocomo({ file }: { readonly file: string }): Promise<Dataset> {
  const bytes = await readWholeFile(file);
  const sha256 = sha256Of(bytes);
  if (sha256 !== locomoRelease.sha256) throw notOfficial(file, bytes, sha256);
  return parseLocomo(bytes, {
    name: "locomo",
    source: file,
    splits: { "memory-r1": memoryR1Split },
    knownIssues: await readLocomoKnownIssues(),
    // Flaws that JSON.parse passes over were looked for once in these very bytes: there are none.
    isKnownToBeSound: true,
  });
}

function notOfficial(file: string, bytes: Uint8Array, sha256: string): Error {
  const reading = readJson(bytes, { file });
  if (reading.status === "read") {
    return new DataIntegrityError({
      file,
      expected: locomoRelease.sha256,
      found: sha256,
      fix: `The file was edited or is another release: ${fix}, or use yours as the data set locomo-modified.`,
    });
  }
  const isShort = bytes.length < locomoRelease.sizeBytes;
  const sizes = `${bytes.length} of ${locomoRelease.sizeBytes} bytes`;
  return new DataFormatError({
    source: file,
    path: "",
    problem:
      `not valid JSON: the file is ${isShort ? "cut off or another file" : "damaged"} (${sizes}); ` +
      `sha256 is ${sha256}, expected ${locomoRelease.sha256}`,
    fix,
    cause: new Error(reading.faults[0]?.problem),
  });
}

/** Every fault of a file that should be the official one: its checksum, and what a reading finds. */
export async function verifyLocomo({
  file,
}: {
  readonly file: string;
}): Promise<readonly DatasetFault[]> {
  const bytes = await readWholeFile(file);
  const sha256 = sha256Of(bytes);
  if (sha256 === locomoRelease.sha256) return [];
  const checksum: DatasetFault = {
    file,
    field: "",
    value: `sha256 ${sha256}, ${bytes.length} bytes`,
    problem: `is not the official file (sha256 ${locomoRelease.sha256}, ${locomoRelease.sizeBytes} bytes)`,
    fix: `${fix}, or use yours as the data set locomo-modified`,
  };
  return [checksum, ...readLocomo(bytes, { name: "locomo", source: file }).faults];
}

/** A corrected copy, or other conversations in LoCoMo's schema. Known issues are marked in the official file alone. */
export async function readModifiedLocomo({
  file,
}: {
  readonly file: string;
}): Promise<DatasetReading> {
  const bytes = await readWholeFile(file);
  const reading = readLocomo(bytes, {
    name: "locomo-modified",
    source: file,
    splits: { "memory-r1": memoryR1Split },
  });
  const { dataset, faults } = reading;
  if (dataset === undefined) return reading;
  const note =
    dataset.sha256 === locomoRelease.sha256
      ? "this is the official LoCoMo file: the data set locomo marks its known issues"
      : `not the official LoCoMo file (sha256 ${dataset.sha256}): its scores do not compare with published ones`;
  return { dataset: { ...dataset, notes: [note, ...dataset.notes] }, faults };
}

/** @throws ConfigError where it cannot be read, DataFormatError at the first fault */
export async function loadModifiedLocomo({ file }: { readonly file: string }): Promise<Dataset> {
  return datasetOf(await readModifiedLocomo({ file }));
}
