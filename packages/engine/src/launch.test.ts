import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ConfigError, EngineLostError } from "@memory-r1/spec";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { writeNodeScript } from "./__fixtures__/executable.ts";
import { launchEngine, type LaunchOptions, type RunningEngine } from "./launch.ts";

let folder: string;
let engine: RunningEngine | undefined;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "memory-r1-launch-"));
});
afterEach(async () => {
  await engine?.stop();
  engine = undefined;
  await rm(folder, { recursive: true, force: true });
});

/** An engine in Node: it listens, says that it is ready, and answers the health check. */
const serving = `
const http = require("node:http");
const server = http.createServer((request, response) => {
  if (request.url.endsWith("healthz")) response.end("{}");
  else if (request.url.endsWith("capabilities")) {
    response.statusCode = 418;
    response.end(JSON.stringify({ detail: JSON.stringify([process.argv.slice(2), process.env.MEMORY_R1_ENGINE_TOKEN]) }));
  }
});
console.log("a library says hello");
server.listen(0, "127.0.0.1", () => {
  console.error("loading");
  console.log(JSON.stringify({ event: "ready", port: server.address().port, pid: process.pid, model: "tiny" }));
});
process.stdin.resume();
`;
const endsWithItsInput = `process.stdin.on("end", () => process.exit(0));`;

const model = (name: string) => ({ name, directory: folder, revision: "r1", source: "test" });

async function launch(
  body: string,
  more: Partial<LaunchOptions> = {},
  prepared: Partial<LaunchOptions["prepared"]> = {},
): Promise<RunningEngine> {
  const python = await writeNodeScript(folder, "python", body);
  engine = await launchEngine({
    prepared: {
      python,
      pythonVersion: "3.11.9",
      environmentDirectory: folder,
      engineDirectory: folder,
      cacheDirectory: folder,
      model: model("tiny"),
      embedding: model("encoder"),
      ...prepared,
    },
    checkpointsDirectory: join(folder, "checkpoints"),
    logFile: join(folder, "logs", "engine.txt"),
    stopTimeoutMs: 1_000,
    ...more,
  });
  return engine;
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ESRCH") return false;
    throw error;
  }
}

describe("launchEngine", () => {
  it("starts a process that answers, tells it what to serve, and ends it", async () => {
    const running = await launch(serving + endsWithItsInput, {
      threads: 2,
      dtype: "bfloat16",
      microBatchTokens: 512,
      trainingMemoryGib: 1.5,
      gradientCheckpointing: "on",
    });
    await running.client.healthz();
    expect(isAlive(running.pid)).toBe(true);
    const error = await running.client.getServerCapabilities().catch((caught: unknown) => caught);
    expect(String(error)).toContain(running.token);
    for (const part of [
      '"-m","memory_r1_engine"',
      '"--model-name","tiny"',
      '"--embedding-name","encoder"',
      '"--port","0"',
      '"--dtype","bfloat16"',
      '"--threads","2"',
      '"--micro-batch-tokens","512"',
      '"--training-memory-gib","1.5"',
      '"--gradient-checkpointing","on"',
    ])
      expect(String(error)).toContain(part);
    expect(String(error)).not.toContain("reranker");
    expect(running.reranker).toBeUndefined();
    await running.stop();
    await running.stop();
    expect(isAlive(running.pid)).toBe(false);
    await expect(readFile(running.logFile, "utf8")).resolves.toBe("loading\n");
    const outcome = await Promise.race([running.lost, Promise.resolve("still waiting")]);
    expect(outcome).toBe("still waiting");
  });

  it("serves a reranker where one was prepared", async () => {
    const running = await launch(
      serving + endsWithItsInput,
      {},
      { reranker: model("cross-encoder") },
    );
    expect(running.reranker?.name).toBe("cross-encoder");
    const error = await running.client.getServerCapabilities().catch((caught: unknown) => caught);
    expect(String(error)).toContain(
      `"--reranker-dir",${JSON.stringify(folder)},"--reranker-name","cross-encoder"`,
    );
  });

  it("has another token at every launch", async () => {
    const tokens = new Set<string>();
    for (let round = 0; round < 2; round++) {
      const running = await launch(serving + endsWithItsInput);
      tokens.add(running.token);
      await running.stop();
    }
    expect(tokens.size).toBe(2);
    expect([...tokens].every((token) => token.length >= 32)).toBe(true);
  });

  it("tells everyone when the process dies: calls in flight, later calls, and `lost`", async () => {
    const running = await launch(serving);
    // This path is never answered.
    const inFlight = running.client.createSession().catch((caught: unknown) => caught);
    setTimeout(() => process.kill(running.pid, "SIGKILL"), 50);
    const error = await running.lost;
    expect(error).toBeInstanceOf(EngineLostError);
    expect(error.message).toMatch(
      /ended by itself \(signal SIGKILL\).*engine\.txt.*resume the run/,
    );
    await expect(inFlight).resolves.toBeInstanceOf(EngineLostError);
    await expect(running.client.healthz()).rejects.toBe(error);
  });

  it("kills a process that does not want to end", async () => {
    const running = await launch(`${serving} process.on("SIGTERM", () => console.error("no"));`, {
      stopTimeoutMs: 200,
    });
    await running.stop();
    expect(isAlive(running.pid)).toBe(false);
  });

  it("shows what the engine says the user can mend", async () => {
    const failing = launch(
      `console.error("noise"); console.error("memory-r1-engine: cannot load the model: no such folder"); process.exit(2);`,
    );
    await expect(failing).rejects.toThrow(ConfigError);
    await expect(failing).rejects.toThrow(
      /^memory-r1-engine: cannot load the model: no such folder$/,
    );
  });

  it("shows the end of the log when the process breaks down", async () => {
    const failing = launch(`console.error("Traceback: out of memory"); process.exit(1);`);
    await expect(failing).rejects.toThrow(EngineLostError);
    await expect(failing).rejects.toThrow(
      /before it was ready \(exit code 1\).*Traceback: out of memory/s,
    );
  });

  it("gives up on a process that is never ready, and leaves none behind", async () => {
    const failing = launch(`console.error(process.pid); setInterval(() => {}, 1000);`, {
      readyTimeoutMs: 1_000,
    });
    await expect(failing).rejects.toThrow(/not ready after 1 s/);
    const pid = Number(await readFile(join(folder, "logs", "engine.txt"), "utf8"));
    expect(pid).toBeGreaterThan(0);
    expect(isAlive(pid)).toBe(false);
  });

  it("stops at an abort signal, and leaves no process behind", async () => {
    const controller = new AbortController();
    const reason = new Error("the user pressed Ctrl-C");
    setTimeout(() => controller.abort(reason), 700);
    const failing = launch(`console.error(process.pid); setInterval(() => {}, 1000);`, {
      signal: controller.signal,
    });
    await expect(failing).rejects.toBe(reason);
    const pid = Number(await readFile(join(folder, "logs", "engine.txt"), "utf8"));
    expect(isAlive(pid)).toBe(false);
  });

  it("says that an environment is damaged", async () => {
    await expect(
      launchEngine({
        prepared: {
          python: join(folder, "absent"),
          pythonVersion: "3.11.9",
          environmentDirectory: folder,
          engineDirectory: folder,
          cacheDirectory: folder,
          model: { name: "tiny", directory: folder, revision: "r1", source: "test" },
          embedding: { name: "encoder", directory: folder, revision: "r1", source: "test" },
        },
        checkpointsDirectory: folder,
        logFile: join(folder, "engine.txt"),
      }),
    ).rejects.toThrow(/cannot be started .*delete .* run the same command again/);
  });
});
