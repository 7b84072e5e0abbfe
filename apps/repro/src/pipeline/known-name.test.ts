import { ConfigError } from "@memory-r1/spec";
import { describe, expect, it } from "vitest";
import { resolveExperiment } from "../experiment.ts";
import { tinyExperiment } from "./__fixtures__/tiny-experiment.ts";
import { knownName } from "./known-name.ts";
import { namePolicies } from "./named-policies.ts";

describe("knownName", () => {
  const registry = { dense: 1, bm25: undefined };

  it("is the name where the registry has it, whatever stands there", () => {
    expect(knownName("retriever", "dense", registry)).toBe("dense");
    expect(knownName("retriever", "bm25", registry)).toBe("bm25");
  });

  it.each(["Dense", "", "toString", "__proto__"])("names what there is instead of %j", (name) => {
    expect(() => knownName("retriever", name, registry)).toThrow(
      new ConfigError(`There is no retriever "${name}". Known: dense, bm25.`),
    );
  });
});

describe("namePolicies", () => {
  it("gives the names of an experiment", () => {
    expect(namePolicies(resolveExperiment(tinyExperiment))).toEqual({
      format: "compact",
      variant: "short",
      retriever: "dense",
    });
  });

  it.each([
    ["manager.format", "compakt", 'There is no manager format "compakt". Known: '],
    ["answer.variant", "long", 'There is no answer variant "long". Known: '],
    ["retriever", "tf-idf", 'There is no retriever "tf-idf". Known: '],
    ["training.1.reward", "f1", 'There is no metric "f1". Known: '],
    ["evaluation.metrics", '["squad-f1","bleu"]', 'There is no metric "bleu". Known: '],
    ["evaluation.arms.0.memory.baseline", "zep", 'There is no baseline "zep". Known: no-memory'],
  ])("refuses %s=%s", (path, value, message) => {
    const experiment = resolveExperiment(tinyExperiment, [[path, value]]);
    expect(() => namePolicies(experiment)).toThrow(ConfigError);
    expect(() => namePolicies(experiment)).toThrow(message);
  });
});
