import { configDefaults, defineConfig } from "vitest/config";

/** Tests that start an engine with a real model, which takes all cores: one after another, when the others are done. */
const engineTests = [
  "apps/repro/src/embedded-models.test.ts",
  "apps/repro/src/pipeline/end-to-end.test.ts",
  "packages/engine/src/embedded-engine.test.ts",
  "packages/engine/src/prepare.test.ts",
  "packages/engine/src/tokenizer.test.ts",
  "packages/trainers/src/grpo-engine.test.ts",
  "packages/trainers/src/ppo-sft-engine.test.ts",
];

export default defineConfig({
  // Workspace packages are tested from their sources: no build needed before a test.
  resolve: { conditions: ["source"] },
  ssr: { resolve: { conditions: ["source"] } },
  test: {
    // Tests of the engine start a Python process and load a model.
    testTimeout: 60_000,
    hookTimeout: 120_000,
    projects: [
      {
        extends: true,
        test: {
          name: "unit",
          // Sources only: `tsc -b` writes the tests into dist as well.
          include: [
            "{packages,apps}/*/src/**/*.test.ts",
            "benchmarks/{*,metrics-differential/*,common/*,speed/*}.test.ts",
            "examples/src/*.test.ts",
            "tools/src/**/*.test.ts",
          ],
          exclude: [...configDefaults.exclude, ...engineTests],
          maxWorkers: "100%",
          sequence: { groupOrder: 0 },
        },
      },
      {
        extends: true,
        test: {
          name: "engine",
          include: engineTests,
          globalSetup: "packages/engine/src/testing/shared-engine-setup.ts",
          maxWorkers: 1,
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
});
