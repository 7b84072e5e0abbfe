import { defineConfig } from "vitest/config";

export default defineConfig({
  // Workspace packages are tested from their sources: no build needed before a test.
  resolve: { conditions: ["source"] },
  ssr: { resolve: { conditions: ["source"] } },
  test: {
    // Sources only: `tsc -b` writes the tests into dist as well.
    include: [
      "{packages,apps}/*/src/**/*.test.ts",
      "benchmarks/{*,metrics-differential/*,common/*,speed/*}.test.ts",
      "examples/src/*.test.ts",
      "tools/src/**/*.test.ts",
    ],
    // Tests of the engine start a Python process and load a model.
    testTimeout: 60_000,
    hookTimeout: 120_000,
  },
});
