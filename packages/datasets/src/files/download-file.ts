import { createHash, type Hash } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdir, open, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { basename, dirname } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import {
  ConfigError,
  DataFormatError,
  DataIntegrityError,
  HarnessError,
  type Logger,
  parseJson,
  silentLogger,
} from "@memory-r1/spec";
import { lock } from "proper-lockfile";
import { z } from "zod";
import type { DatasetFile } from "../dataset-definition.ts";

/** How far a download is. */
export interface DownloadProgress {
  readonly file: string;
  /** What an earlier try left included. */
  readonly doneBytes: number;
  /** Absent where neither the data set nor the server says. */
  readonly totalBytes?: number;
}

export interface DownloadOptions {
  readonly file: DatasetFile;
  /** Absolute path that the whole, checked file takes in one step. */
  readonly destination: string;
  readonly fetch?: typeof globalThis.fetch | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((progress: DownloadProgress) => void) | undefined;
  readonly logger?: Logger | undefined;
  /** Before the second try; doubled for each further one. */
  readonly retryDelayMs?: number;
  /** A connection that is silent for longer counts as cut. */
  readonly idleLimitMs?: number;
}

/** Tries in a row that bring nothing. */
const mostFruitlessTries = 4;

/** What is known about the part of a file that lies on the disk. */
const partStateSchema = z.strictObject({
  url: z.string(),
  /** The server's name of this version (ETag or Last-Modified), for If-Range. */
  validator: z.string().optional(),
});
type PartState = z.infer<typeof partStateSchema>;

/** The connection broke or the server was busy: another try may bring the rest. */
class TransferError extends HarnessError {
  constructor(message: string, cause?: unknown) {
    super("transfer", message, cause);
  }
}

/**
 * Gets a file over HTTP: goes on where an earlier try was cut off (Range with If-Range), checks size and sha256, and only
 * then gives the file its name. What was got of an unfinished download stays beside it as `<name>.part`. Two processes
 * that want the same file get it once: the second waits for the first.
 * @throws ConfigError where it cannot be got or written; DataIntegrityError where what came is another file: then
 * nothing is kept.
 */
export async function downloadFile(options: DownloadOptions): Promise<void> {
  const { destination, logger = silentLogger } = options;
  await onDisk(destination, () => mkdir(dirname(destination), { recursive: true }));
  const lost = new AbortController();
  const release = await takeLock(options, logger, (cause) =>
    lost.abort(
      new ConfigError(`The lock of ${destination} was lost: ${cause.message}. Try again.`, cause),
    ),
  );
  try {
    // Whoever held the lock before may have brought it.
    if (await isThere(destination)) return;
    const signals = [lost.signal, ...(options.signal === undefined ? [] : [options.signal])];
    await bring({ ...options, signal: AbortSignal.any(signals) });
  } finally {
    if (!lost.signal.aborted) await release();
  }
}

async function takeLock(
  { destination, signal }: DownloadOptions,
  logger: Logger,
  onCompromised: (error: Error) => void,
): Promise<() => Promise<void>> {
  // A holder that was killed stops renewing its lock.
  const settings = { realpath: false, stale: 30_000, update: 5_000, onCompromised };
  for (let isWaiting = false; ; isWaiting = true) {
    try {
      return await lock(destination, settings);
    } catch (error) {
      if (codeOf(error) !== "ELOCKED") throw diskError(destination, error);
    }
    if (!isWaiting)
      logger.info(`Another process is getting ${basename(destination)}: waiting for it`);
    await pauseFor(500, signal);
  }
}

/** @throws the signal's reason where it aborts meanwhile */
async function pauseFor(durationMs: number, signal: AbortSignal | undefined): Promise<void> {
  try {
    await pause(durationMs, undefined, signal === undefined ? {} : { signal });
  } catch (error) {
    signal?.throwIfAborted();
    throw error;
  }
}

/** Tries until the file is whole, and gives it its name. */
async function bring(options: DownloadOptions): Promise<void> {
  const part = createPart(options.destination, options.file.url);
  let fruitless = 0;
  let hasStartedAnew = false;
  for (;;) {
    const before = await part.size();
    try {
      // A try that was killed between its last byte and the check has left nothing to get.
      if (before === 0 || before !== options.file.sizeBytes) await transfer(options, part);
      const outcome = await part.check(options.file);
      if (outcome === undefined) {
        await onDisk(options.destination, () => part.complete());
        return;
      }
      await part.discard();
      // The beginning may stem from an earlier version of the file: once more from the start.
      if (before === 0 || hasStartedAnew) throw outcome;
      hasStartedAnew = true;
      options.logger?.warn(`${outcome.message} It was put together from two tries: starting anew.`);
    } catch (error) {
      if (!(error instanceof TransferError)) throw error;
      const after = await part.size();
      fruitless = after > before ? 1 : fruitless + 1;
      if (fruitless >= mostFruitlessTries) throw unreachable(options.file, error, after);
      options.logger?.info(`${error.message}; trying again (${after} bytes are here)`);
      await pauseFor((options.retryDelayMs ?? 1_000) * 2 ** (fruitless - 1), options.signal);
    }
  }
}

/** One request: appends what it brings to the part. @throws TransferError where another try may bring more */
async function transfer(options: DownloadOptions, part: Part): Promise<void> {
  const { file, signal } = options;
  const idle = new AbortController();
  const idleLimitMs = options.idleLimitMs ?? 60_000;
  const timer = setTimeout(
    () => idle.abort(new Error(`nothing came for ${idleLimitMs / 1000} seconds`)),
    idleLimitMs,
  );
  try {
    const resume = await part.resumePoint(file);
    const response = await request(
      options,
      resume,
      AbortSignal.any([idle.signal, ...(signal ? [signal] : [])]),
    );
    const start = await acceptResponse(response, file, part, resume.bytes);
    const announcedBytes = announcedSize(response, start);
    const totalBytes = file.sizeBytes ?? announcedBytes;
    const report = (doneBytes: number): void =>
      options.onProgress?.({
        file: file.name,
        doneBytes,
        ...(totalBytes === undefined ? {} : { totalBytes }),
      });
    const writer = await part.openAt(start, { url: file.url, ...validatorOf(response) });
    try {
      report(start);
      for await (const chunk of chunksOf(response)) {
        timer.refresh();
        await writer.write(chunk);
        report(writer.bytes());
        // Whatever comes after the promised size is another file: do not fill the disk with it.
        if (isTooLong(writer.bytes(), file)) break;
      }
      await writer.flush();
    } finally {
      await writer.close();
    }
    const isShort = announcedBytes !== undefined && writer.bytes() < announcedBytes;
    if (isShort && !isTooLong(writer.bytes(), file)) {
      throw new TransferError(
        `the connection ended after ${writer.bytes()} of ${announcedBytes} bytes`,
      );
    }
  } catch (error) {
    signal?.throwIfAborted();
    if (idle.signal.aborted) throw new TransferError(describeFailure(idle.signal.reason), error);
    throw error;
  } finally {
    clearTimeout(timer);
  }
}

/** Where a download can go on. */
interface ResumePoint {
  /** 0: from the start. */
  readonly bytes: number;
  readonly validator?: string | undefined;
}

async function request(
  { file, fetch = globalThis.fetch }: DownloadOptions,
  resume: ResumePoint,
  signal: AbortSignal,
): Promise<Response> {
  const headers: Record<string, string> = { "accept-encoding": "identity" };
  if (resume.bytes > 0) headers["range"] = `bytes=${resume.bytes}-`;
  if (resume.bytes > 0 && resume.validator !== undefined) headers["if-range"] = resume.validator;
  try {
    return await fetch(file.url, { headers, signal });
  } catch (cause) {
    throw new TransferError(describeFailure(cause), cause);
  }
}

/** Checks the answer. @returns the position from which its body is to be written */
async function acceptResponse(
  response: Response,
  file: DatasetFile,
  part: Part,
  asked: number,
): Promise<number> {
  const { status } = response;
  if (status === 206) {
    const start = /^bytes (\d+)-/.exec(response.headers.get("content-range") ?? "")?.[1];
    if (Number(start) === asked) return asked;
  } else if (response.ok) return 0;
  await response.body?.cancel();
  if (status === 416 || status === 206) {
    // What is here is not a beginning of what is there.
    await part.discard();
    throw new TransferError(`the server cannot go on from byte ${asked}`);
  }
  if (status === 408 || status === 425 || status === 429 || status >= 500) {
    throw new TransferError(`HTTP status ${status}`);
  }
  throw new ConfigError(
    `${file.url} answered with HTTP status ${status}${explainStatus(status)}. ${byHand(file)}`,
  );
}

function explainStatus(status: number): string {
  if (status === 404 || status === 410) return ": the file is no longer there";
  if (status === 401 || status === 403)
    return ": the server does not give it to everybody, or not to this network";
  return "";
}

async function* chunksOf(response: Response): AsyncGenerator<Uint8Array> {
  if (response.body === null) return;
  const body: AsyncIterable<unknown> = response.body;
  try {
    // Leaving the loop early ends the transfer.
    for await (const chunk of body) {
      if (chunk instanceof Uint8Array) yield chunk;
    }
  } catch (cause) {
    throw new TransferError(`the connection was cut (${describeFailure(cause)})`, cause);
  }
}

function isTooLong(bytes: number, file: DatasetFile): boolean {
  return file.sizeBytes !== undefined && bytes > file.sizeBytes;
}

function announcedSize(response: Response, start: number): number | undefined {
  // Of a body that is compressed after all the header gives the compressed length.
  if (response.headers.has("content-encoding")) return undefined;
  const length = response.headers.get("content-length");
  return length === null ? undefined : start + Number(length);
}

function validatorOf(response: Response): Pick<PartState, "validator"> {
  const etag = response.headers.get("etag");
  // A weak ETag says "about the same": If-Range takes strong ones only (RFC 9110, 13.1.5).
  const strong = etag === null || etag.startsWith("W/") ? undefined : etag;
  const validator = strong ?? response.headers.get("last-modified") ?? undefined;
  return validator === undefined ? {} : { validator };
}

/** The unfinished file beside the destination, and what it is the beginning of. */
interface Part {
  size(): Promise<number>;
  resumePoint(file: DatasetFile): Promise<ResumePoint>;
  openAt(start: number, state: PartState): Promise<PartWriter>;
  /** Undefined: the file is the one that was promised. */
  check(file: DatasetFile): Promise<DataIntegrityError | DataFormatError | undefined>;
  complete(): Promise<void>;
  discard(): Promise<void>;
}

interface PartWriter {
  write(chunk: Uint8Array): Promise<void>;
  bytes(): number;
  /** To the disk itself: the name must not come before the bytes. */
  flush(): Promise<void>;
  close(): Promise<void>;
}

function createPart(destination: string, url: string): Part {
  const path = `${destination}.part`;
  const stateFile = `${path}.json`;
  // Of the first `hashed` bytes of the part: a file is hashed while it comes, not read again.
  let hash: Hash = createHash("sha256");
  let hashed = 0;

  const size = async (): Promise<number> => {
    try {
      return (await stat(path)).size;
    } catch (error) {
      if (isMissing(error)) return 0;
      throw diskError(path, error);
    }
  };
  const discard = (): Promise<void> =>
    onDisk(path, async () => {
      await rm(path, { force: true });
      await rm(stateFile, { force: true });
    });
  const readState = async (): Promise<PartState | undefined> => {
    try {
      return parseJson(await readFile(stateFile, "utf8"), partStateSchema, stateFile);
    } catch (error) {
      // A state that was cut off by a kill is worth as much as none.
      if (isMissing(error) || error instanceof DataFormatError) return undefined;
      throw diskError(stateFile, error);
    }
  };
  const hashUpTo = async (bytes: number): Promise<void> => {
    if (hashed === bytes) return;
    hash = createHash("sha256");
    hashed = 0;
    if (bytes === 0) return;
    const chunks: AsyncIterable<Buffer> = createReadStream(path, { end: bytes - 1 });
    for await (const chunk of chunks) hash.update(chunk);
    hashed = bytes;
  };

  return {
    size,
    discard,
    resumePoint: async (file) => {
      const bytes = await size();
      const state = await readState();
      const fits = file.sizeBytes === undefined || bytes < file.sizeBytes;
      // Without a validator only the checksum at the end can tell a mixture of two versions.
      const canTell = state?.validator !== undefined || file.sha256 !== undefined;
      if (state?.url !== url || !fits || !canTell) return { bytes: 0 };
      return { bytes, validator: state.validator };
    },
    openAt: (start, state) =>
      onDisk(path, async () => {
        await hashUpTo(start);
        const handle = await open(path, start === 0 ? "w" : "a");
        // After the file was emptied: a kill in between must not give the old bytes the new version's name.
        await writeFile(stateFile, JSON.stringify(state));
        let bytes = start;
        return {
          bytes: () => bytes,
          write: (chunk) =>
            onDisk(path, async () => {
              let written = 0;
              while (written < chunk.length) {
                written += (await handle.write(chunk, written)).bytesWritten;
              }
              bytes += chunk.length;
              hash.update(chunk);
              hashed = bytes;
            }),
          flush: () => onDisk(path, () => handle.sync()),
          close: () => onDisk(path, () => handle.close()),
        };
      }),
    check: async (file) => {
      const bytes = await size();
      await hashUpTo(bytes);
      const found = hash.copy().digest("hex");
      if (file.sha256 !== undefined && found !== file.sha256) {
        const sizes = file.sizeBytes === undefined ? `${bytes}` : `${bytes} of ${file.sizeBytes}`;
        return new DataIntegrityError({
          file: url,
          expected: file.sha256,
          found,
          fix: `What came (${sizes} bytes) is another file, and nothing of it was kept. ${byHand(file)}`,
        });
      }
      if (file.sizeBytes !== undefined && bytes !== file.sizeBytes) {
        return new DataFormatError({
          source: url,
          path: "",
          problem: `${bytes} bytes came instead of ${file.sizeBytes}: it is another file, and nothing of it was kept`,
          fix: `get ${file.name} by hand and give its folder with --data-dir`,
        });
      }
      return undefined;
    },
    complete: async () => {
      await rename(path, destination);
      await rm(stateFile, { force: true });
    },
  };
}

function unreachable(file: DatasetFile, error: TransferError, bytesHere: number): ConfigError {
  const kept = bytesHere === 0 ? "" : ` The next try goes on from byte ${bytesHere}.`;
  return new ConfigError(
    `${file.url} could not be got: ${error.message}. Check the network and try again.${kept} ${byHand(file)}`,
    error,
  );
}

function byHand(file: DatasetFile): string {
  return `Or get ${file.name} by hand and give its folder with --data-dir or MEMORY_R1_DATA_DIR.`;
}

/** `fetch` says "fetch failed" and hides what happened in `cause`. */
function describeFailure(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error ? `${error.message}: ${error.cause.message}` : error.message;
}

function isMissing(error: unknown): boolean {
  return codeOf(error) === "ENOENT";
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && "code" in error ? error.code : undefined;
}

/** Runs an action on files with errors that the user can act on. */
async function onDisk<T>(path: string, action: () => Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (error) {
    throw HarnessError.isInstance(error) ? error : diskError(path, error);
  }
}

function diskError(path: string, cause: unknown): ConfigError {
  const folder = dirname(path);
  const code = codeOf(cause);
  if (code === "ENOSPC" || code === "EDQUOT") {
    return new ConfigError(
      `The disk of ${folder} is full. Free some space and try again (the download goes on where it stopped), or use ` +
        "another cache folder (MEMORY_R1_CACHE_DIR).",
      cause,
    );
  }
  return new ConfigError(
    `${folder} cannot be written: ${String(cause)}. Use a writable cache folder (MEMORY_R1_CACHE_DIR).`,
    cause,
  );
}

async function isThere(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isFile();
  } catch (error) {
    if (isMissing(error)) return false;
    throw diskError(path, error);
  }
}
