import { resolve } from "node:path";
import { ConfigError } from "@memory-r1/spec";
import { describe, expect, it } from "vitest";
import { readFlags, readTrainingOptions, trainingFlags, writeCommand } from "./command-line.ts";

const flags = { ...trainingFlags, device: { type: "string", default: "cuda" } } as const;
const options = (...given: readonly string[]) =>
  readTrainingOptions(readFlags(flags, given), "/root");

describe("flags of a benchmark", () => {
  it("have defaults, and take what is given behind pnpm's dashes", () => {
    const output = resolve("/root/results");
    expect(options()).toEqual({ repetitions: 3, threads: 2, seed: 0, output });
    expect(options("--", "--seed", "7", "--threads=1", "--output", "/elsewhere")).toEqual({
      repetitions: 3,
      threads: 1,
      seed: 7,
      output: resolve("/elsewhere"),
    });
    expect(readFlags(flags, ["--help"])).toMatchObject({ help: true, device: "cuda" });
  });

  it.each([
    [["--sed", "1"], "--sed"],
    [["--seed"], "--seed"],
    [["1"], "`--help` lists the flags"],
    [["--repetitions", "0"], '--repetitions: "0" is not a whole number of 1 or more.'],
    [["--threads", "zwei"], "--threads"],
    [["--seed", "1.5"], "--seed"],
  ])("are refused where they are %j", (given, message) => {
    expect(() => options(...given)).toThrow(ConfigError);
    expect(() => options(...given)).toThrow(message);
  });

  it("are written as they are typed", () => {
    expect(writeCommand("bench:gpu", { device: "cpu", seed: "0" })).toBe(
      "pnpm bench:gpu --device cpu --seed 0",
    );
    expect(writeCommand("bench:gpu", {})).toBe("pnpm bench:gpu");
  });
});
