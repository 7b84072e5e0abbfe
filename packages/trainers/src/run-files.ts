import { appendFile, mkdir, open, readFile, rename, stat, truncate } from "node:fs/promises";
import { dirname } from "node:path";
import { ResumeMismatchError } from "@memory-r1/spec";

/** Replaces a file in one step: whoever reads it, after a kill at any instant too, sees the old or the new text whole. */
export async function writeFileAtomic(path: string, text: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  // Beside the target: a rename across file systems is a copy.
  const temporary = `${path}.tmp`;
  const file = await open(temporary, "w");
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(temporary, path);
}

/** Text of a file, or undefined where there is none. */
export async function readFileIfPresent(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

/** Appends a value as one line of JSON. A kill can leave part of a line: cut it off before the next one. */
export async function appendJsonLine(path: string, value: unknown): Promise<void> {
  await appendFile(path, `${JSON.stringify(value)}\n`);
}

/** Length in bytes; 0 where there is no file. */
export async function logLength(path: string): Promise<number> {
  try {
    return (await stat(path)).size;
  } catch (error) {
    if (isMissing(error)) return 0;
    throw error;
  }
}

/** Cuts a log back to what it held at a checkpoint. @throws ResumeMismatchError if it holds less than that. */
export async function truncateLog(path: string, bytes: number): Promise<void> {
  const length = await logLength(path);
  if (length < bytes)
    throw new ResumeMismatchError(
      `${path} has ${length} bytes, but the checkpoint was made when it had ${bytes}: the file was cut or replaced. ` +
        "Restore it, or start in a new folder",
    );
  if (length > bytes) await truncate(path, bytes);
}

/** Cuts off what follows the last line break: the rest of a line that a kill left. */
export async function dropPartialLine(path: string): Promise<void> {
  const text = (await readFileIfPresent(path)) ?? "";
  const whole = text.slice(0, text.lastIndexOf("\n") + 1);
  if (whole !== text) await truncate(path, Buffer.byteLength(whole));
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "ENOENT";
}
