import { expect, it } from "vitest";
import { type MetricName, metrics } from "./registry.ts";

// The worked example of docs/metrics.md, checked in Python with reference_metrics.py of benchmarks/metrics-differential.
const prediction = "It's the pottery classes, and painting";
const gold = "pottery class, painting";

it.each<[MetricName, string, number]>([
  // Parts: {it, potteri, class} to {potteri, class} 0.8, {paint} to {paint} 1.
  ["locomo-f1", "1", 0.9],
  // it potteri class paint: 3 of 4, 3 of 3.
  ["locomo-f1", "4", 6 / 7],
  ["locomo-f1", "5", 0],
  // it's the pottery classes and painting: 2 of 6, 2 of 3.
  ["mem0-f1", "4", 4 / 9],
  // it s the pottery classes and painting: 2 of 7, 2 of 3.
  ["memoryos-f1", "4", 0.4],
  // its pottery classes and painting: 2 of 5, 2 of 3.
  ["squad-f1", "4", 0.5],
  // it 's the pottery classes , and painting: 3 of 8, and the prediction is the longer one.
  ["mem0-bleu1", "4", 3 / 8],
  // pottery … painting: 2 of 3.
  ["rouge-l-recall", "4", 2 / 3],
  ["squad-em", "4", 0],
])("%s in category %s", (name, categoryCode, score) => {
  expect(metrics[name].score(prediction, { gold, categoryCode })).toBeCloseTo(score, 12);
});
