/** Worker of run-metrics.ts: reads, checks and parses LoCoMo once, in a fresh process. */
import { loadLocomo } from "@memory-r1/datasets";

const startMs = performance.now();
const dataset = await loadLocomo({ file: process.argv[2] ?? "" });
const endMs = performance.now();
console.log(
  JSON.stringify({
    questions: dataset.questions.length,
    loadSeconds: (endMs - startMs) / 1000,
    // performance.now() counts from the start of the process.
    processSeconds: endMs / 1000,
  }),
);
