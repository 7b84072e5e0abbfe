import { EventEmitter } from "node:events";
import { describe, expect, it } from "vitest";
import { InterruptedError, watchInterrupts } from "./interrupts.ts";

function watch() {
  const source = new EventEmitter();
  const exits: number[] = [];
  const firsts: string[] = [];
  const clock = { nowMs: 0 };
  const interrupts = watchInterrupts({
    source,
    nowMs: () => clock.nowMs,
    onFirst: (signal) => firsts.push(signal),
    exitNow: (exitCode) => exits.push(exitCode),
  });
  return { source, exits, firsts, clock, interrupts };
}

describe("watchInterrupts", () => {
  it("aborts at the first signal and leaves at the second", () => {
    const { source, exits, firsts, clock, interrupts } = watch();
    expect(interrupts.signal.aborted).toBe(false);
    expect(interrupts.received()).toBeUndefined();
    source.emit("SIGINT", "SIGINT");
    expect(interrupts.signal.reason).toBeInstanceOf(InterruptedError);
    expect(interrupts.received()).toBe("SIGINT");
    expect([firsts, exits]).toEqual([["SIGINT"], []]);
    clock.nowMs = 5_000;
    source.emit("SIGINT", "SIGINT");
    expect([firsts, exits]).toEqual([["SIGINT"], [130]]);
  });

  it("takes one key press that arrives twice as one", () => {
    const { source, exits, clock } = watch();
    source.emit("SIGINT", "SIGINT");
    clock.nowMs = 300;
    source.emit("SIGINT", "SIGINT");
    expect(exits).toEqual([]);
    clock.nowMs = 301;
    source.emit("SIGINT", "SIGINT");
    expect(exits).toEqual([130]);
  });

  it("tells SIGTERM from SIGINT", () => {
    const { source, exits, clock, interrupts } = watch();
    source.emit("SIGTERM", "SIGTERM");
    expect(interrupts.received()).toBe("SIGTERM");
    clock.nowMs = 1_000;
    source.emit("SIGTERM", "SIGTERM");
    expect(exits).toEqual([143]);
  });

  it("stops listening", () => {
    const { source, interrupts } = watch();
    interrupts.dispose();
    expect(source.eventNames()).toEqual([]);
  });
});
