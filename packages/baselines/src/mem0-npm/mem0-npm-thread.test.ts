import { existsSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { ConfigError, ModelCallError } from "@memory-r1/spec";
import { afterEach, describe, expect, it } from "vitest";
import { type Mem0Thread, type Mem0ThreadOptions, startMem0Thread } from "./mem0-npm-thread.ts";

const threads: Mem0Thread[] = [];
afterEach(async () => {
  for (const thread of threads.splice(0)) await thread.close();
});

async function start(given: Partial<Mem0ThreadOptions> = {}): Promise<Mem0Thread> {
  const thread = await startMem0Thread({
    customInstructions: "Be brief.",
    embed: (texts) => Promise.resolve(texts.map((text) => Float32Array.of(1, text.length))),
    ...given,
  });
  threads.push(thread);
  return thread;
}

const tea = '{"memory": [{"id": "0", "text": "Mia likes tea.", "attributed_to": "user"}]}';
const call = {
  at: Date.parse("2024-05-03T14:10Z"),
  userId: "speaker-1",
  messages: [{ role: "user", content: "Mia: I like tea." }],
  ask: () => Promise.resolve(tea),
} as const;

describe("mem0ai reaches no network", () => {
  it("adds, searches and lists with telemetry off, and leaves the user's folder and environment alone", async () => {
    const folder = join(homedir(), ".mem0");
    const was = existsSync(folder);
    const thread = await start();
    expect(await thread.add(call)).toMatchObject({ status: "added", complaints: [] });
    expect(await thread.search({ userId: "speaker-1", query: "tea", count: 3 })).toHaveLength(1);
    expect(await thread.list("speaker-1")).toHaveLength(1);
    expect(existsSync(folder)).toBe(was);
    // oxlint-disable-next-line node/no-process-env -- what must not be touched
    expect(Object.keys(process.env).filter((name) => name.startsWith("MEM0_"))).toEqual([]);
  });

  it("is stopped and named where it tries: by fetch, its telemetry, were it on", async () => {
    const thread = await start({
      environment: { MEM0_DIR: `${fileURLToPath(import.meta.url)}/none` },
    });
    await expect(thread.add(call)).rejects.toThrow(
      'mem0ai tried to reach "https://us.i.posthog.com/i/v0/e/"; it has no business there',
    );
    await expect(thread.list("speaker-1")).rejects.toThrow("tried to reach");
  });

  it("is stopped and named where it tries: by a socket", async () => {
    const packageName = fileURLToPath(
      new URL("./__fixtures__/knocking-package.cjs", import.meta.url),
    );
    const thread = await start({ packageName });
    await expect(thread.list("speaker-1")).rejects.toThrow(/tried to reach .*127\.0\.0\.1/);
  });
});

describe("mem0ai in its thread", () => {
  it("is told the day by the clock and says what it asks the model with", async () => {
    const asked: string[] = [];
    const thread = await start();
    await thread.add({
      ...call,
      ask: (messages) => {
        asked.push(...messages.map(({ content }) => content));
        return call.ask();
      },
    });
    const [system, user] = asked;
    expect(system).toMatch(/^\n# ROLE\n\nYou are a Memory Extractor/);
    expect(user).toBe(
      "## Summary\n\n\n## Last k Messages\n\n\n## Recently Extracted Memories\n[]\n\n## Existing Memories\n[]\n\n" +
        "## New Messages\nuser: Mia: I like tea.\n\n## Observation Date\n2024-05-03\n\n## Current Date\n2024-05-03\n\n" +
        "## Custom Instructions\nBe brief.\n\n# Output:",
    );
  });

  it("passes errors of the model and of the embedding on as they are, those that mem0ai swallows too", async () => {
    const lost = new ModelCallError("no reply", { retryable: true });
    const thread = await start();
    await expect(thread.add({ ...call, ask: () => Promise.reject(lost) })).rejects.toBe(lost);

    let calls = 0;
    // The probe, the message, and then the memory, where mem0ai warns and goes on without it.
    const embed: Mem0ThreadOptions["embed"] = (texts) => {
      calls += 1;
      return calls > 2
        ? Promise.reject(lost)
        : Promise.resolve(texts.map(() => Float32Array.of(1, 0)));
    };
    const other = await start({ embed });
    await expect(other.add(call)).rejects.toBe(lost);
  });

  it("says how to install it where it is not there, and may be closed twice", async () => {
    const missing = start({ packageName: "mem0ai/not-there" });
    await expect(missing).rejects.toThrow(ConfigError);
    await expect(missing).rejects.toThrow("npm install mem0ai@3.3.1 @langchain/core@1.4.0");
    const thread = await start();
    await thread.close();
    await thread.close();
    await expect(thread.list("speaker-1")).rejects.toThrow("ended");
  });
});
