import { type FileHandle, open, realpath, stat, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { writeFileAtomic } from "@memory-r1/report";
import { ConfigError } from "@memory-r1/spec";
import { ensureWritableFolder } from "../run-folder.ts";

export interface Input {
  /** Undefined where nobody knows how much will come. */
  readonly sizeBytes: number | undefined;
  /** To be read once. */
  readonly chunks: AsyncIterable<Uint8Array>;
  close(): Promise<void>;
}

const chunkBytes = 256 * 1024;

/** @throws ConfigError where the file cannot be read */
export async function openInputFile(path: string): Promise<Input> {
  let handle: FileHandle;
  try {
    handle = await open(path, "r");
  } catch (cause) {
    throw new ConfigError(`${path} cannot be read: ${messageOf(cause)}`, cause);
  }
  const facts = await handle.stat();
  if (facts.isDirectory()) {
    await handle.close();
    throw new ConfigError(
      `${path} is a folder. Name a file of predictions, one JSON object a line.`,
    );
  }
  return {
    // A pipe, as a shell's <(command) gives, has none.
    sizeBytes: facts.isFile() ? facts.size : undefined,
    chunks: readChunks(handle),
    close: () => handle.close(),
  };
}

async function* readChunks(handle: FileHandle): AsyncGenerator<Uint8Array> {
  for (;;) {
    const buffer = new Uint8Array(chunkBytes);
    const { bytesRead } = await handle.read(buffer, 0, chunkBytes);
    if (bytesRead === 0) return;
    yield buffer.subarray(0, bytesRead);
  }
}

/**
 * Writes texts to a file as they come. The file is whole or as it was before; a device or a pipe, which cannot be
 * replaced, is written to as it is.
 * @throws ConfigError before anything is read, where the place cannot be written to
 */
export async function openOutputFile(
  path: string,
): Promise<(texts: AsyncIterable<string>) => Promise<void>> {
  const target = await targetOf(path);
  if (target.kind === "folder")
    throw new ConfigError(`${path} is a folder. Name a file, or - for standard output.`);
  if (target.kind === "device") return (texts) => writeFile(path, texts);
  await ensureWritableFolder(
    dirname(target.path),
    "Choose another file with --out, or make the folder writable.",
  );
  return (texts) => writeFileAtomic(target.path, texts);
}

/** A link is followed: what it points to is replaced, not the link. */
async function targetOf(
  path: string,
): Promise<{ readonly kind: "file" | "folder" | "device"; readonly path: string }> {
  try {
    const target = await realpath(path);
    const facts = await stat(target);
    if (facts.isDirectory()) return { kind: "folder", path: target };
    return { kind: facts.isFile() ? "file" : "device", path: target };
  } catch (cause) {
    if (cause instanceof Error && "code" in cause && cause.code === "ENOENT")
      return { kind: "file", path };
    throw new ConfigError(`${path} cannot be written: ${messageOf(cause)}`, cause);
  }
}

function messageOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}
