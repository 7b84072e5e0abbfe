import { PassThrough } from "node:stream";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import {
  createBarProgress,
  createLineProgress,
  type ProgressDisplay,
  type ProgressOptions,
} from "./progress.ts";
import { createProgressMeter, formatDuration } from "./progress-meter.ts";

function display(create: (options: ProgressOptions) => ProgressDisplay) {
  let text = "";
  const stream = Object.assign(new PassThrough(), { isTTY: true, columns: 100 });
  stream.on("data", (chunk: Buffer) => (text += chunk.toString()));
  return { progress: create({ stream, nowMs: Date.now }), text: () => text };
}

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

describe("createLineProgress", () => {
  it("writes a line every 10 %, and one at the end", () => {
    const { progress, text } = display(createLineProgress);
    const task = progress.startProgress("train", 10);
    for (let step = 0; step < 10; step++) {
      vi.advanceTimersByTime(4_000);
      if (step === 8) task.note("reward 0.31");
      task.advance();
    }
    task.done();
    const lines = text().split("\n");
    expect(lines).toHaveLength(11);
    expect(lines[0]).toBe("train: 1/10 (10 %), 4.0 s each, 36 s left");
    expect(lines[8]).toBe("train: 9/10 (90 %), 4.0 s each, 4.0 s left, reward 0.31");
    expect(lines[9]).toBe("train: 10/10 in 40 s, reward 0.31");
  });

  it("writes a sign of life every 10 seconds while nothing advances", () => {
    const { progress, text } = display(createLineProgress);
    const task = progress.startProgress("start the engine", 1);
    vi.advanceTimersByTime(25_000);
    expect(text()).toBe(
      "start the engine: 0/1 (0 %), 10 s so far\nstart the engine: 0/1 (0 %), 20 s so far\n",
    );
    task.done();
    vi.advanceTimersByTime(60_000);
    expect(text().split("\n").at(-2)).toBe("start the engine: 0/1 in 25 s");
  });

  it("does not flood: many quick advances give few lines", () => {
    const { progress, text } = display(createLineProgress);
    const task = progress.startProgress("answer", 1_000);
    for (let step = 0; step < 1_000; step++) {
      vi.advanceTimersByTime(20);
      task.advance();
    }
    task.done();
    // 20 seconds and ten steps of 10 %: one line each but the last, and the end.
    expect(text().trimEnd().split("\n")).toHaveLength(10);
  });

  it("says nothing about work of less than two seconds", () => {
    const { progress, text } = display(createLineProgress);
    const task = progress.startProgress("short", 2);
    task.advance();
    vi.advanceTimersByTime(1_900);
    task.advance();
    task.done();
    task.done();
    expect(text()).toBe("");
  });

  it("ends open tasks when closed", () => {
    const { progress, text } = display(createLineProgress);
    progress.startProgress("outer", 2);
    progress.startProgress("inner", 4).advance(3);
    vi.advanceTimersByTime(3_000);
    progress.close();
    vi.advanceTimersByTime(60_000);
    expect(text()).toBe("outer: 0/2 in 3.0 s\ninner: 3/4 in 3.0 s\n");
  });
});

describe("createBarProgress", () => {
  it("draws bars, keeps lines above them and gives the terminal back", () => {
    const { progress, text } = display(createBarProgress);
    const outer = progress.startProgress("stages", 2);
    const inner = progress.startProgress("train", 4);
    vi.advanceTimersByTime(4_000);
    inner.advance(2);
    inner.note("reward 0.31");
    vi.advanceTimersByTime(1_000);
    expect(text()).toContain("train ██████░░░░░░ 2/4 (50 %), 2.0 s each, 3.0 s left, reward 0.31");
    progress.log("checkpoint kept");
    expect(text()).toContain("checkpoint kept\n");
    inner.done();
    outer.done();
    expect(text()).toContain("train: 2/4 in 5.0 s, reward 0.31\n");
    expect(text().endsWith("stages: 0/2 in 5.0 s\n")).toBe(true);
    // The cursor was hidden and is shown again.
    expect(text().lastIndexOf("\u001B[?25h")).toBeGreaterThan(text().lastIndexOf("\u001B[?25l"));
    const length = text().length;
    vi.advanceTimersByTime(60_000);
    progress.log("after");
    expect(text().slice(length)).toBe("after\n");
  });

  it("can start again after all tasks have ended", () => {
    const { progress, text } = display(createBarProgress);
    progress.startProgress("one", 1).done();
    const two = progress.startProgress("two", 1);
    vi.advanceTimersByTime(3_000);
    two.advance();
    progress.close();
    expect(text()).toContain("two: 1/1 in 3.0 s\n");
  });
});

describe("createProgressMeter", () => {
  it("rates the latest advances, so that a burst at the start does not colour the rest", () => {
    const meter = createProgressMeter("answer", 1_000, 0);
    meter.add(500, 1);
    for (let second = 1; second <= 100; second++) meter.add(1, second * 1_000);
    // 600 done, 400 to go at one a second.
    expect(meter.describe(100_000, "")).toBe("600/1,000 (60 %), 1.0/s, 6 min 40 s left");
  });

  it("knows nothing to do as all done", () => {
    expect(createProgressMeter("none", 0, 0).fraction()).toBe(1);
  });
});

describe("formatDuration", () => {
  it.each([
    [0, "0.0 s"],
    [9_949, "9.9 s"],
    [9_950, "10 s"],
    [59_499, "59 s"],
    [59_500, "1 min 00 s"],
    [125_000, "2 min 05 s"],
    [7_620_000, "2 h 07 min"],
  ])("%d ms is %s", (durationMs, text) => {
    expect(formatDuration(durationMs)).toBe(text);
  });
});
