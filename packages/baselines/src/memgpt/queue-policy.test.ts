import { describe, expect, it } from "vitest";
import type { AgentMessage, MessageKind } from "./agent-state.ts";
import { policy2023, policy2024, type QueuePolicy } from "./queue-policy.ts";

const cycle: readonly MessageKind[] = ["reply", "result", "turn"];

/** As a queue looks after its first messages: reply, result, turn, and so on. The window is gpt-4's of the time. */
function count(policy: QueuePolicy, sizes: readonly number[]): number {
  const queue = sizes.map((size, index): AgentMessage => ({
    kind: cycle[index % 3] ?? "turn",
    text: "",
    content: String(size),
    date: "",
    sourceTurnIds: [],
  }));
  return policy.countToSummarize({
    queue,
    tokensOf: ({ content }) => Number(content),
    window: 8192,
  });
}

const equal = (length: number, size: number): number[] => Array.from({ length }, () => size);

describe("queue policy of 2023: the newest 20 % of 7000 tokens stay", () => {
  it("cuts where the newest messages reach 1400 tokens", () => {
    // 14 messages of 100 tokens stay, and the first of them, a result, is no user's message.
    expect(count(policy2023, equal(30, 100))).toBe(16);
    // 15 of 99 (1386 with 14): the first is a reply.
    expect(count(policy2023, equal(30, 99))).toBe(15);
  });

  it("keeps three messages, or two where the cut would be before a user's", () => {
    // Two of 1000 reach it, and three stay: of nine the first of them is a reply, of eight a turn, which goes with the rest.
    expect(count(policy2023, equal(9, 1000))).toBe(6);
    expect(count(policy2023, equal(8, 1000))).toBe(6);
  });

  it("has nothing to summarise in a short queue, or in one below the share", () => {
    expect(count(policy2023, equal(3, 5000))).toBe(0);
    expect(count(policy2023, equal(10, 10))).toBeLessThanOrEqual(0);
    expect(count(policy2023, [])).toBeLessThanOrEqual(0);
  });
});

describe("queue policy of 2024: the oldest 75 % of the queue's tokens go", () => {
  it("cuts before the message that goes over 75 %, and not before a result", () => {
    // 2250 of 3000: the 23rd message (a result) goes over it; the cut moves behind it.
    expect(count(policy2024, equal(30, 100))).toBe(23);
    // 2025 of 2700: the 21st (a turn) goes over it; the cut moves behind it.
    expect(count(policy2024, equal(27, 100))).toBe(21);
  });

  it("never takes the three newest as candidates", () => {
    // 5 candidates sum up to 5000, never over 6000: the cut is before the last of them, a result, and moves behind it.
    expect(count(policy2024, equal(8, 1000))).toBe(5);
    expect(count(policy2024, equal(3, 5000))).toBe(0);
    expect(count(policy2024, [])).toBe(0);
  });

  it("gains nothing where a single long message comes first", () => {
    expect(count(policy2024, [9000, 10, 10, 10, 10])).toBeLessThanOrEqual(1);
  });
});
