import { randomUUID } from "node:crypto";
import { mkdir, open, rename, rm, writeFile } from "node:fs/promises";
import { dirname } from "node:path";

/**
 * Writes a whole file so that a reader, or a run killed at any instant, sees the old content or the new and nothing
 * between: the bytes go to a temporary file beside it, are flushed to the disk, and take its name in one step.
 * Missing folders are made. Content may come in pieces, of which one at a time is in memory. Errors of the file system
 * and of the content pass through; the temporary file is removed then.
 */
export async function writeFileAtomic(
  path: string,
  content: string | Uint8Array | AsyncIterable<string>,
): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  const temporary = `${path}.${randomUUID()}.tmp`;
  try {
    const file = await open(temporary, "wx");
    try {
      await writeFile(file, content);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}
