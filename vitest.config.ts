import { defineConfig } from "vitest/config";

export default defineConfig({
  // Workspace packages are tested from their sources: no build needed before a test.
  ssr: { resolve: { conditions: ["source"] } },
  resolve: { conditions: ["source"] },
  test: { include: ["{packages,apps}/*/src/**/*.test.ts", "benchmarks/src/**/*.test.ts"] },
});
