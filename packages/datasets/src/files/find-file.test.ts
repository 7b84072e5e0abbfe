import { createHash } from "node:crypto";
import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ConfigError, DataIntegrityError } from "@memory-r1/spec";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { findFile, formatSize, locateFile, type WantedFile } from "./find-file.ts";

const content = "the content";
const sha256 = createHash("sha256").update(content).digest("hex");
const wanted: WantedFile = {
  title: "Things",
  licence: "CC0",
  file: {
    name: "things.json",
    url: "https://example.org/things.json",
    folder: "things",
    sha256,
    sizeBytes: content.length,
  },
};

let folder = "";
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "find-file-test-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

/** No request leaves a test. */
const noNetwork: typeof fetch = () =>
  Promise.reject(new TypeError("fetch failed", { cause: new Error("getaddrinfo ENOTFOUND") }));
const gives =
  (body: string): typeof fetch =>
  () =>
    Promise.resolve(new Response(body));
const options = (fetch: typeof globalThis.fetch = noNetwork) => ({
  cacheDirectory: join(folder, "cache"),
  fetch,
});

async function failure(promise: Promise<unknown>): Promise<unknown> {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  return undefined;
}

describe("findFile", () => {
  it("takes the file itself, or looks into the data folder and the data set's folder in it", async () => {
    const nested = join(folder, "data", "things");
    await mkdir(nested, { recursive: true });
    const inner = join(nested, "things.json");
    await writeFile(inner, "[]");
    for (const dataDirectory of [inner, nested, join(folder, "data")])
      expect(await findFile(wanted, { ...options(), dataDirectory })).toBe(inner);
  });

  it("downloads a missing file once, under a name of its release", async () => {
    const addresses: unknown[] = [];
    const fetch: typeof globalThis.fetch = (url) => {
      addresses.push(url);
      return Promise.resolve(new Response(content));
    };
    const file = await findFile(wanted, options(fetch));
    expect(await findFile(wanted, options())).toBe(file);
    expect(addresses).toEqual(["https://example.org/things.json"]);
    expect(await readdir(join(folder, "cache", "datasets"))).toEqual([
      `${sha256.slice(0, 12)}-things.json`,
    ]);
  });

  it("does not download when told not to, nor when the data folder is mistyped", async () => {
    const noDownload = await failure(
      findFile(wanted, { ...options(gives(content)), download: false, dataDirectory: folder }),
    );
    expect(noDownload).toBeInstanceOf(ConfigError);
    expect(String(noDownload)).toContain(
      `Things (things.json) is not in ${folder} nor in ${join(folder, "cache", "datasets")}`,
    );
    const mistyped = await failure(
      findFile(wanted, { ...options(gives(content)), dataDirectory: join(folder, "dta") }),
    );
    expect(mistyped).toBeInstanceOf(ConfigError);
    expect(String(mistyped)).toContain("dta does not exist");
  });

  it("refuses a download that is another file, and leaves nothing behind", async () => {
    const error = await failure(findFile(wanted, options(gives("<html>"))));
    expect(error).toBeInstanceOf(DataIntegrityError);
    expect(String(error)).toContain("6 of 11 bytes");
    expect(await readdir(join(folder, "cache", "datasets"))).toEqual([]);
  });

  it("names a cache folder that cannot be written", async () => {
    await writeFile(join(folder, "cache"), "a file where a folder should be");
    const error = await failure(findFile(wanted, options(gives(content))));
    expect(error).toBeInstanceOf(ConfigError);
    expect(String(error)).toContain("Use a writable cache folder");
  });
});

describe("locateFile", () => {
  it("prefers the data folder to the cache, and finds nothing where nothing is", async () => {
    const bare = { ...wanted.file, folder: "things" };
    expect(await locateFile(bare, options())).toBeUndefined();
    const cached = await findFile(wanted, options(gives(content)));
    expect(await locateFile(bare, { ...options(), dataDirectory: folder })).toBe(cached);
    await writeFile(join(folder, "things.json"), "[]");
    expect(await locateFile(bare, { ...options(), dataDirectory: folder })).toBe(
      join(folder, "things.json"),
    );
  });
});

it("tells sizes as download pages do", () => {
  expect([999, 1_000, 2_805_274, 2_700_000_000].map(formatSize)).toEqual([
    "999 bytes",
    "1.0 kB",
    "2.8 MB",
    "2.7 GB",
  ]);
});
