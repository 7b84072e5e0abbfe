/** Worker of run-metrics.ts: scores every pair of a file by each metric, in one or more passes. See metrics_peer.py. */
import { readFileSync } from "node:fs";
import { isMetricName, metrics } from "@memory-r1/metrics";
import { ConfigError, parseJson } from "@memory-r1/spec";
import { z } from "zod";

const pairSchema = z.tuple([z.string(), z.string(), z.string()]);

const [file = "", passes = "", ...names] = process.argv.slice(2);
const pairs = readFileSync(file, "utf8")
  .trimEnd()
  .split("\n")
  .map((line) => parseJson(line, pairSchema, file));

function measure(name: string, pass: number) {
  if (!isMetricName(name)) throw new ConfigError(`there is no metric "${name}"`);
  const { score } = metrics[name];
  const processorStart = process.cpuUsage();
  const startMs = performance.now();
  let sum = 0;
  for (const [prediction, gold, categoryCode] of pairs) {
    sum += score(prediction, { gold, categoryCode });
  }
  const seconds = (performance.now() - startMs) / 1000;
  const { user, system } = process.cpuUsage(processorStart);
  return { metric: name, pass, seconds, processorSeconds: (user + system) / 1e6, sum };
}

const measurements = names.flatMap((name) =>
  Array.from({ length: Number(passes) }, (_, index) => measure(name, index + 1)),
);
console.log(JSON.stringify({ measurements, versions: { node: process.version } }));
