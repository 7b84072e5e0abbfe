// Runs a TypeScript module in a process of its own, which the oldest Node that this project runs on cannot by itself:
// `node run-in-child.mjs <module> …`. The module finds its own words from process.argv[3] on.
import { fileURLToPath } from "node:url";
import { createViteServer } from "vitest/node";

const server = await createViteServer({
  root: fileURLToPath(new URL("../../..", import.meta.url)),
  configFile: false,
  logLevel: "error",
  server: { middlewareMode: true, ws: false, watch: null },
  optimizeDeps: { noDiscovery: true },
  ssr: { resolve: { conditions: ["source"] } },
});
await server.ssrLoadModule(process.argv[2] ?? "");
await server.close();
