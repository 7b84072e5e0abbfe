import { join } from "node:path";
import { bankOfFacts, datedFacts } from "@memory-r1/core";
import type { Conversation } from "@memory-r1/spec";
import type { Arm } from "../experiment.ts";
import { countDecisions, type Lane, type PlayedEpisode, playEpisodes } from "./play-episodes.ts";
import type { RunServices, TrainedAgent } from "./run-services.ts";
import type { Timings } from "./systems/timings.ts";
import { createTokenCounter } from "./systems/token-counter.ts";

/** Who can have written a bank that is evaluated. */
export type ManagerKind = Extract<Arm["memory"], { kind: "bank" }>["manager"];

/** The name of a Manager's banks in the tables of memories. */
export function managerMemoryName(manager: ManagerKind): string {
  return `memory-r1/${manager}`;
}

/** Every conversation played whole by one Manager: conversation id to what it came to. */
export type PlayedBanks = ReadonlyMap<string, PlayedEpisode>;

/**
 * Plays with every Manager the conversations that its arms are asked about. The two untrained Managers share weights
 * and so one decode batch. Finished files are read, not played again.
 * @param conversations everything that is asked about: the add-everything banks are made for all of it.
 */
export async function playManagers(
  services: RunServices,
  kinds: ReadonlyMap<ManagerKind, readonly Conversation[]>,
  conversations: readonly Conversation[],
  trainedManager: TrainedAgent | undefined,
  timings: Timings,
): Promise<ReadonlyMap<ManagerKind, PlayedBanks>> {
  const played = new Map<ManagerKind, PlayedBanks>();
  // Banks of facts as they are: also the source of the oracle and of other conversations' memories.
  played.set(
    "add-everything",
    new Map(conversations.map((conversation) => [conversation.id, addEverything(conversation)])),
  );
  const untrained = (["untrained", "untrained-unconstrained"] as const).filter((kind) =>
    kinds.has(kind),
  );
  if (untrained.length > 0) {
    const lanes = untrained.flatMap((kind) => lanesOf(services, kind, kinds.get(kind) ?? []));
    const episodes = await play(services, untrained, lanes, services.base, timings);
    for (const kind of untrained) played.set(kind, ofKind(episodes, kind, kinds.get(kind) ?? []));
  }
  const ofTrained = kinds.get("trained");
  if (ofTrained !== undefined && trainedManager !== undefined) {
    // Equal weights, prompts and grammar make equal banks: what the untrained Manager played is not played again.
    const sameBanks = trainedManager.isBase ? played.get("untrained") : undefined;
    if (sameBanks !== undefined && ofTrained.every(({ id }) => sameBanks.has(id))) {
      return played.set("trained", sameBanks);
    }
    const lanes = lanesOf(services, "trained", ofTrained);
    const generator = await services.trained(trainedManager);
    const episodes = await play(services, ["trained"], lanes, generator, timings);
    played.set("trained", ofKind(episodes, "trained", ofTrained));
  }
  return played;
}

function addEverything(conversation: Conversation): PlayedEpisode {
  const facts = datedFacts(conversation);
  return {
    bank: bankOfFacts(facts, "add-everything"),
    operations: { ADD: facts.length, UPDATE: 0, DELETE: 0, NOOP: 0 },
    unparsable: 0,
    rejected: 0,
    facts,
  };
}

function lanesOf(
  services: RunServices,
  kind: ManagerKind,
  conversations: readonly Conversation[],
): Lane[] {
  const manager =
    kind === "untrained-unconstrained" ? services.unconstrainedManager : services.manager;
  return conversations.map((conversation) => ({
    key: laneKey(kind, conversation.id),
    manager,
    conversation,
  }));
}

function laneKey(kind: ManagerKind, conversationId: string): string {
  return `${kind}/${conversationId}`;
}

async function play(
  services: RunServices,
  kinds: readonly ManagerKind[],
  lanes: readonly Lane[],
  generator: RunServices["base"],
  timings: Timings,
): Promise<ReadonlyMap<string, PlayedEpisode>> {
  const name = kinds.includes("trained") ? "trained" : "untrained";
  const progress = services.context.startProgress(`${name} Manager: banks`, countDecisions(lanes));
  try {
    return await playEpisodes({
      lanes,
      generator: {
        description: generator.description,
        // Each Manager of the batch waits for all of it: one sample for each.
        generate: (requests) =>
          kinds.reduce(
            (work, kind) => () => timings.time(managerMemoryName(kind), "ingest", work),
            () => generator.generate(requests),
          )(),
      },
      countTokens: createTokenCounter(services.engine.tokenizer).ofReply,
      maxTokens: services.experiment.manager.maxTokens,
      seed: services.experiment.seed,
      temperature: 0,
      file: join(services.runDirectory, "banks", `${name}.jsonl`),
      progress,
      signal: services.context.signal,
    });
  } finally {
    progress.done();
  }
}

function ofKind(
  episodes: ReadonlyMap<string, PlayedEpisode>,
  kind: ManagerKind,
  conversations: readonly Conversation[],
): PlayedBanks {
  const banks = new Map<string, PlayedEpisode>();
  for (const { id } of conversations) {
    const episode = episodes.get(laneKey(kind, id));
    if (episode !== undefined) banks.set(id, episode);
  }
  return banks;
}
