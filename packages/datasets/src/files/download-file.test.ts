import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ConfigError, DataIntegrityError, type Logger } from "@memory-r1/spec";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { DatasetFile } from "../dataset-definition.ts";
import { downloadFile, type DownloadOptions, type DownloadProgress } from "./download-file.ts";

// Half a megabyte that no compression and no repetition can fake.
const content = Buffer.concat(
  Array.from({ length: 16_384 }, (_, index) => createHash("sha256").update(`${index}`).digest()),
);
const sha256 = createHash("sha256").update(content).digest("hex");

interface Request {
  readonly range: string | undefined;
  readonly ifRange: string | undefined;
}

type Answer = (request: IncomingMessage, response: ServerResponse) => void;

let folder = "";
let server: Server;
let address = "";
let requests: Request[] = [];
/** What the server does with the n-th request; the last one holds for all further ones. */
let answers: Answer[] = [];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "download-test-"));
  requests = [];
  server = createServer((request, response) => {
    const answer = answers[Math.min(requests.length, answers.length - 1)];
    requests.push({ range: request.headers.range, ifRange: headerOf(request, "if-range") });
    answer?.(request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const bound = server.address();
  address = typeof bound === "object" && bound !== null ? `http://127.0.0.1:${bound.port}/f` : "";
});
afterEach(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
  await rm(folder, { recursive: true, force: true });
});

function headerOf(request: IncomingMessage, name: string): string | undefined {
  const value = request.headers[name];
  return typeof value === "string" ? value : undefined;
}

interface Served {
  readonly etag?: string;
  readonly body?: Buffer;
  /** Cut the connection after so many bytes of this answer. */
  readonly cutAfter?: number;
  readonly ignoresRange?: boolean;
}

/** A server as they are: ranges, If-Range, ETag. */
function serve({
  etag = '"v1"',
  body = content,
  cutAfter,
  ignoresRange = false,
}: Served = {}): Answer {
  return (request, response) => {
    const start = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? "")?.[1] ?? 0);
    const ifRange = headerOf(request, "if-range");
    const isPart = start > 0 && !ignoresRange && (ifRange === undefined || ifRange === etag);
    if (isPart && start >= body.length) {
      response.writeHead(416, { "content-range": `bytes */${body.length}` }).end();
      return;
    }
    const sent = isPart ? body.subarray(start) : body;
    response.writeHead(isPart ? 206 : 200, {
      etag,
      "content-length": sent.length,
      ...(isPart ? { "content-range": `bytes ${start}-${body.length - 1}/${body.length}` } : {}),
    });
    if (cutAfter === undefined) response.end(sent);
    else response.write(sent.subarray(0, cutAfter), () => response.socket?.destroySoon());
  };
}

/** Says no more after some bytes, and does not hang up. */
const silentAfter =
  (bytes: number): Answer =>
  (_, response) => {
    response.writeHead(200, { etag: '"v1"', "content-length": content.length });
    response.write(content.subarray(0, bytes));
  };

const status =
  (code: number): Answer =>
  (_, response) =>
    void response.writeHead(code).end("no");

const file = (changes: Partial<DatasetFile> = {}): DatasetFile => ({
  name: "file.bin",
  url: address,
  sha256,
  sizeBytes: content.length,
  ...changes,
});

const destination = (): string => join(folder, "sets", "file.bin");

const download = (changes: Partial<DownloadOptions> = {}): Promise<void> =>
  downloadFile({ file: file(), destination: destination(), retryDelayMs: 1, ...changes });

async function failure(promise: Promise<unknown>): Promise<unknown> {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  return undefined;
}

/** Aborts at the first progress from `bytes` on, as a killed process would stop. */
function stopAt(bytes: number): Pick<DownloadOptions, "signal" | "onProgress"> {
  const controller = new AbortController();
  return {
    signal: controller.signal,
    onProgress: ({ doneBytes }) => {
      if (doneBytes >= bytes) controller.abort(new Error("stopped"));
    },
  };
}

/** What a process that was killed leaves behind. */
async function leavePart(bytes: Buffer, state: string): Promise<void> {
  await mkdir(join(folder, "sets"), { recursive: true });
  await writeFile(`${destination()}.part`, bytes);
  await writeFile(`${destination()}.part.json`, state);
}

const stateOf = (validator?: string): string => JSON.stringify({ url: address, validator });

/** Vitest compares buffers byte by byte, for seconds. */
async function isWhole(): Promise<boolean> {
  return content.equals(await readFile(destination()));
}

describe("a download", () => {
  it("lands whole under its name, with nothing beside it, and tells its progress", async () => {
    answers = [serve()];
    const told: DownloadProgress[] = [];
    await download({ onProgress: (progress) => told.push(progress) });
    expect(await isWhole()).toBe(true);
    expect(await readdir(join(folder, "sets"))).toEqual(["file.bin"]);
    expect(told[0]).toEqual({ file: "file.bin", doneBytes: 0, totalBytes: content.length });
    expect(told.at(-1)?.doneBytes).toBe(content.length);
    const done = told.map(({ doneBytes }) => doneBytes);
    expect(done.toSorted((one, other) => one - other)).toEqual(done);
  });

  it("needs neither size nor checksum where none was published", async () => {
    answers = [
      (_, response) => {
        // Chunked: no length is announced.
        response.write(content.subarray(0, 1000));
        response.end(content.subarray(1000));
      },
    ];
    const told: DownloadProgress[] = [];
    await downloadFile({
      file: { name: "file.bin", url: address },
      destination: destination(),
      onProgress: (progress) => told.push(progress),
    });
    expect(await isWhole()).toBe(true);
    expect(told.at(-1)).toEqual({ file: "file.bin", doneBytes: content.length });
  });

  it("goes on by itself where the connection is cut, from the byte at which it was", async () => {
    answers = [serve({ cutAfter: 100_000 }), serve({ cutAfter: 50_000 }), serve()];
    const lines: string[] = [];
    const logger: Logger = { info: (line) => lines.push(line), warn: (line) => lines.push(line) };
    await download({ logger });
    expect(await isWhole()).toBe(true);
    // How much of an answer that breaks off is still read is the network's business; what was read is not asked again.
    const kept = lines.map((line) => /cut.*trying again \((\d+) bytes are here\)$/.exec(line)?.[1]);
    expect(requests).toEqual([
      { range: undefined, ifRange: undefined },
      ...kept.map((bytes) =>
        bytes === "0"
          ? { range: undefined, ifRange: undefined }
          : { range: `bytes=${bytes}-`, ifRange: '"v1"' },
      ),
    ]);
    expect(requests).toHaveLength(3);
  });

  it("goes on in a later call where an earlier one was stopped", async () => {
    answers = [silentAfter(100_000), serve()];
    const stopped = await failure(download(stopAt(1)));
    expect(String(stopped)).toBe("Error: stopped");
    expect(existsSync(destination())).toBe(false);
    const here = (await readFile(`${destination()}.part`)).length;
    expect(here).toBeGreaterThan(0);
    await download();
    expect(await isWhole()).toBe(true);
    expect(requests[1]).toEqual({ range: `bytes=${here}-`, ifRange: '"v1"' });
    expect(await readdir(join(folder, "sets"))).toEqual(["file.bin"]);
  });

  it("asks only for the rest of what a killed process left", async () => {
    await leavePart(content.subarray(0, 70_000), stateOf('"v1"'));
    answers = [serve()];
    const told: DownloadProgress[] = [];
    await download({ onProgress: (progress) => told.push(progress) });
    expect(requests).toEqual([{ range: "bytes=70000-", ifRange: '"v1"' }]);
    expect(told[0]?.doneBytes).toBe(70_000);
    expect(await isWhole()).toBe(true);
  });

  it("starts anew where the server has another version by now", async () => {
    await leavePart(Buffer.alloc(70_000, 7), stateOf('"old"'));
    answers = [serve({ etag: '"new"' })];
    await download();
    expect(requests).toEqual([{ range: "bytes=70000-", ifRange: '"old"' }]);
    expect(await isWhole()).toBe(true);
  });

  it("starts anew where the server knows no ranges", async () => {
    await leavePart(content.subarray(0, 70_000), stateOf('"v1"'));
    answers = [serve({ ignoresRange: true })];
    await download();
    expect(requests).toHaveLength(1);
    expect(await isWhole()).toBe(true);
  });

  it("starts anew where a beginning of unknown version turns out not to fit", async () => {
    await leavePart(Buffer.alloc(70_000, 7), stateOf());
    // A weak ETag does not tell versions apart, so none is kept.
    answers = [serve({ etag: 'W/"weak"' })];
    await download();
    expect(requests).toEqual([
      { range: "bytes=70000-", ifRange: undefined },
      { range: undefined, ifRange: undefined },
    ]);
    expect(await isWhole()).toBe(true);
  });

  it("does not go on where nothing could tell a mixture of two versions", async () => {
    await leavePart(content.subarray(0, 70_000), stateOf());
    answers = [serve()];
    await download({ file: { name: "file.bin", url: address } });
    expect(requests).toEqual([{ range: undefined, ifRange: undefined }]);
    expect(await isWhole()).toBe(true);
  });

  it.each([
    ["is longer than the file", Buffer.alloc(content.length + 1), undefined],
    ["belongs to another address", Buffer.alloc(1000), '{"url":"http://127.0.0.1/other"}'],
    ["has an unreadable state", Buffer.alloc(1000), '{"url":'],
  ])("starts anew where a beginning %s", async (_, bytes, state) => {
    await leavePart(bytes, state ?? stateOf('"v1"'));
    answers = [serve()];
    await download();
    expect(requests).toEqual([{ range: undefined, ifRange: undefined }]);
    expect(await isWhole()).toBe(true);
  });

  it("asks for nothing where a killed try had all bytes, or where the file is there", async () => {
    answers = [serve()];
    await mkdir(join(folder, "sets"), { recursive: true });
    await writeFile(`${destination()}.part`, content);
    await download();
    await download();
    expect(requests).toEqual([]);
    expect(await isWhole()).toBe(true);
  });

  it("refuses another file and keeps nothing of it", async () => {
    const changed = Buffer.from(content);
    changed[5] = (changed[5] ?? 0) ^ 1;
    for (const body of [
      changed,
      Buffer.from("<html>please log in</html>"),
      Buffer.concat([content, content]),
    ]) {
      answers = [serve({ body })];
      const error = await failure(download());
      expect(error).toBeInstanceOf(DataIntegrityError);
      expect(String(error)).toContain(sha256);
      expect(String(error)).toContain(`of ${content.length} bytes`);
      expect(String(error)).toContain("--data-dir");
      expect(await readdir(join(folder, "sets"))).toEqual([]);
    }
  });

  it.each([
    [404, "no longer there"],
    [403, "does not give it to everybody"],
    [401, "does not give it to everybody"],
    [400, "HTTP status 400"],
  ])("does not ask again after HTTP status %i, and says what it means", async (code, meaning) => {
    answers = [status(code)];
    const error = await failure(download());
    expect(error).toBeInstanceOf(ConfigError);
    expect(String(error)).toContain(`HTTP status ${code}`);
    expect(String(error)).toContain(meaning);
    expect(String(error)).toContain("--data-dir");
    expect(requests).toHaveLength(1);
  });

  it("tries a busy server again, and gives up after four tries that bring nothing", async () => {
    answers = [status(503), status(429), serve()];
    await download();
    expect(requests).toHaveLength(3);
    await rm(destination());
    requests = [];
    answers = [status(500)];
    const error = await failure(download());
    expect(String(error)).toContain("could not be got: HTTP status 500. Check the network");
    expect(requests).toHaveLength(4);
  });

  it("says what is wrong with the network", async () => {
    const noNetwork = { url: "http://127.0.0.1:9/f" };
    const error = await failure(download({ file: file(noNetwork) }));
    expect(error).toBeInstanceOf(ConfigError);
    expect(String(error)).toMatch(/fetch failed: .*(ECONNREFUSED|bad port)/);
  });

  it("cuts a connection that falls silent, and goes on with the next", async () => {
    answers = [silentAfter(1000), serve()];
    await download({ idleLimitMs: 100 });
    expect(requests[1]?.range).toBe("bytes=1000-");
    expect(await isWhole()).toBe(true);
  });

  it("gets a file once for two that want it at the same time", async () => {
    answers = [
      (request, response) => {
        setTimeout(() => serve()(request, response), 50);
      },
    ];
    const lines: string[] = [];
    const logger: Logger = { info: (line) => lines.push(line), warn: (line) => lines.push(line) };
    await Promise.all([download({ logger }), download({ logger }), download({ logger })]);
    expect(requests).toHaveLength(1);
    expect(lines.filter((line) => line.includes("Another process"))).toHaveLength(2);
    expect(await isWhole()).toBe(true);
    expect(await readdir(join(folder, "sets"))).toEqual(["file.bin"]);
  });

  it.skipIf(!existsSync("/dev/full"))(
    `says that the disk is full${existsSync("/dev/full") ? "" : " (skipped: no /dev/full)"}`,
    async () => {
      answers = [serve()];
      await mkdir(join(folder, "sets"), { recursive: true });
      await symlink("/dev/full", `${destination()}.part`);
      const error = await failure(download());
      expect(error).toBeInstanceOf(ConfigError);
      expect(String(error)).toContain(`The disk of ${join(folder, "sets")} is full`);
      expect(requests).toHaveLength(1);
    },
  );
});
