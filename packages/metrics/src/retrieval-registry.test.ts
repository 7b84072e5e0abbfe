import { graded, ungraded } from "@memory-r1/spec";
import { expect, it } from "vitest";
import {
  isRetrievalMetricName,
  type RetrievalMetric,
  retrievalMetrics,
} from "./retrieval-registry.ts";

const all = Object.entries<RetrievalMetric>(retrievalMetrics);

it("knows its names", () => {
  expect(isRetrievalMetricName("evidence-recall")).toBe(true);
  expect(isRetrievalMetricName("toString")).toBe(false);
});

it.each(all)("%s is 1 for the evidence and 0 for other turns", (_, metric) => {
  const evidenceIds = ["D1:1", "D2:2"];
  expect(metric.score({ retrievedIds: evidenceIds, evidenceIds })).toEqual(graded(1));
  expect(metric.score({ retrievedIds: [["D3:3", "D4:4"]], evidenceIds })).toEqual(graded(0));
});

it.each(all)("%s is ungraded without evidence, whatever was retrieved", (_, metric) => {
  for (const retrievedIds of [[], ["D1:1"]]) {
    expect(metric.score({ retrievedIds, evidenceIds: [] })).toEqual(ungraded("no evidence ids"));
  }
});

it("scores an empty retrieval 0, but has no precision for it", () => {
  for (const [name, metric] of all) {
    expect(metric.score({ retrievedIds: [], evidenceIds: ["D1:1"] }), name).toEqual(
      name === "evidence-precision" ? ungraded("nothing retrieved") : graded(0),
    );
  }
});

it("tells any from all", () => {
  const reference = { retrievedIds: [["D1:1"], ["D9:9"]], evidenceIds: ["D1:1", "D2:2"] };
  expect(retrievalMetrics["longmemeval-recall-any"].score(reference)).toEqual(graded(1));
  expect(retrievalMetrics["longmemeval-recall-all"].score(reference)).toEqual(graded(0));
  expect(retrievalMetrics["evidence-recall"].score(reference)).toEqual(graded(0.5));
});
