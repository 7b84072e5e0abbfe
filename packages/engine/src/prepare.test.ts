import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ConfigError } from "@memory-r1/spec";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { prepareEngine } from "./prepare.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "memory-r1-prepare-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

// The first on a machine installs the Python environment, which takes minutes.
describe("a reranker", { timeout: 900_000 }, () => {
  it("is not looked for unless it is asked for", async () => {
    const stages = new Set<string>();
    const prepared = await prepareEngine({ onProgress: ({ stage }) => stages.add(stage) });
    expect(prepared.reranker).toBeUndefined();
    expect(stages).toContain("embedding");
    expect(stages).not.toContain("reranker");
  });

  it("can be a folder, which is told by its content", async () => {
    const reranker = join(folder, "cross-encoder");
    await mkdir(reranker);
    for (const name of ["config.json", "tokenizer.json", "model.safetensors"])
      await writeFile(join(reranker, name), "{}");
    const prepared = await prepareEngine({ reranker });
    expect(prepared.reranker).toMatchObject({
      name: reranker,
      directory: reranker,
      source: "local",
    });
    expect(prepared.reranker?.revision).toMatch(/^local:sha256:[0-9a-f]{64}$/);
  });

  it("that cannot be had is a ConfigError with its own advice", async () => {
    const error = await prepareEngine({ reranker: join(folder, "absent") }).catch(
      (caught: unknown) => caught,
    );
    expect(error).toBeInstanceOf(ConfigError);
    expect(String(error)).toMatch(
      /the reranker ".*absent" cannot be had: .*no such folder\. To fix it: give the folder of a cross-encoder/,
    );
    // The resolver's own advice is to take a language model.
    expect(String(error)).not.toContain("smollm2");
  });
});
