import { readdirSync } from "node:fs";
import { basename, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { datasets } from "@memory-r1/datasets";
import { parseValue } from "@memory-r1/spec";
import { describe, expect, it } from "vitest";
import { z } from "zod";
import { resolveExperiment } from "../experiment.ts";
import { namePolicies } from "./named-policies.ts";

const folder = fileURLToPath(new URL("../../../../benchmarks", import.meta.url));
const files = readdirSync(folder).filter(
  (name) => name.endsWith(".ts") && !name.includes(".test.") && !name.includes(".config."),
);

const moduleSchema = z.looseObject({ experiment: z.unknown() });

describe("the experiments of benchmarks/", () => {
  it("are there", () => {
    expect(files).toContain("demo.ts");
  });

  it.each(files)(
    "%s resolves, is named like its file, and names only what there is",
    async (file) => {
      const module: unknown = await import(pathToFileURL(join(folder, file)).href);
      const experiment = resolveExperiment(parseValue(module, moduleSchema, file).experiment);
      expect(experiment.name).toBe(basename(file, ".ts"));
      expect(() => namePolicies(experiment)).not.toThrow();
      expect(Object.keys(datasets)).toContain(experiment.dataset);
    },
  );
});
