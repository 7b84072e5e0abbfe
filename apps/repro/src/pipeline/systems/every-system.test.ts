import { type BaselineName, baselines, createBaseline } from "@memory-r1/baselines";
import { systemOptionsFor } from "@memory-r1/baselines/testing";
import { addEverythingManager, createBm25Retriever, createMemoryR1System } from "@memory-r1/core";
import { loadLocomoMini } from "@memory-r1/datasets";
import type { MemorySystem } from "@memory-r1/spec";
import { describe, expect, it } from "vitest";
import { createScriptedGenerator } from "../__fixtures__/scripted-generator.ts";
import { createSilentContext } from "../__fixtures__/silent-context.ts";
import { useTemporaryFolder } from "../__fixtures__/temporary-folder.ts";
import { toldPart } from "../told-part.ts";
import { playSystems } from "./play-systems.ts";
import { createTimings } from "./timings.ts";

const pathOf = useTemporaryFolder();
const { conversations, questions } = await loadLocomoMini();
const told = conversations.slice(0, 2).map((conversation) => toldPart(conversation, 1));

function isBaselineName(name: string): name is BaselineName {
  return Object.hasOwn(baselines, name);
}

/** Tells and asks a system as a run does; every field that it may not see throws when it is read. */
async function playThroughGuard(create: (reply: string) => MemorySystem, reply: string) {
  return playSystems({
    lanes: told.map((conversation) => ({
      system: "guarded",
      conversation,
      questions: questions
        .filter(({ conversationId }) => conversationId === conversation.id)
        .slice(0, 2)
        .map((question) => ({ question, wantsContext: true, wantsAnswer: true })),
    })),
    create: () => create(reply),
    systemOptions: systemOptionsFor({}),
    countTokens: () => ({ promptTokens: 1, completionTokens: 1 }),
    concurrent: 2,
    directory: pathOf(`systems-${reply.length}`),
    timings: createTimings(pathOf("timings.jsonl"), () => 0),
    context: createSilentContext(pathOf(".")),
  });
}

/** What a small model says: nothing of use, near-JSON, a plain sentence. */
const replies = ["", '{"memory": [', "I am happy to help with that."];

describe("no system reads gold, category, evidence or what is to come", () => {
  it.each(Object.keys(baselines).filter(isBaselineName))("%s", async (name) => {
    for (const reply of replies) {
      const played = await playThroughGuard(
        () =>
          createBaseline(
            name,
            systemOptionsFor({
              generator: createScriptedGenerator(() => reply),
              // The largest windows have to fit.
              contextTokens: 32_768,
            }),
          ),
        reply,
      );
      const ofSystem = [...(played.get("guarded")?.values() ?? [])];
      expect(ofSystem.map(({ memory }) => memory.turns)).toEqual(
        told.map(({ sessions }) => sessions[0]?.turns.length),
      );
      for (const { memory, questions: asked } of ofSystem) {
        expect(memory.read.size > 0).toBe(name !== "no-memory");
        expect([...asked.values()].every(({ context }) => Array.isArray(context))).toBe(true);
      }
    }
  });

  it("memory-r1", async () => {
    const played = await playThroughGuard(
      () =>
        createMemoryR1System({
          agent: addEverythingManager,
          retriever: createBm25Retriever(),
          selection: { mode: "overall", count: 3 },
        }),
      "",
    );
    const [first] = [...(played.get("guarded")?.values() ?? [])];
    expect([...(first?.memory.read ?? [])].filter((field) => field.startsWith("turn"))).toEqual([]);
    expect(first?.memory.stored.length).toBe(told[0]?.sessions[0]?.facts.length);
  });

  it("is seen where one tries", async () => {
    const curious: MemorySystem = {
      name: "curious",
      open: () =>
        Promise.resolve({
          ingest: () => Promise.resolve(),
          context: (question) => {
            const all: object = question;
            return Promise.resolve([
              { text: String(Reflect.get(all, "gold")), date: "", sourceTurnIds: [] },
            ]);
          },
          stored: () => Promise.resolve([]),
          counts: () => ({ operations: {}, unparsable: 0, rejected: 0 }),
        }),
    };
    await expect(playThroughGuard(() => curious, "")).rejects.toThrow("question.gold was read");
  });
});
