import { expect, it } from "vitest";
import { locomoCategories } from "./categories.ts";

it("names codes 1 to 5 as each of the three sources does", () => {
  const namesBy = (scheme: string) => locomoCategories.map(({ names }) => names[scheme]);
  expect(locomoCategories.map(({ code }) => code)).toEqual(["1", "2", "3", "4", "5"]);
  // The scorer's comments and the paper's table 5.
  expect(namesBy("official")).toEqual([
    "multi-hop",
    "temporal",
    "open-domain",
    "single-hop",
    "adversarial",
  ]);
  // Mem0's table: its overall number is the micro mean of its categories under this naming alone.
  expect(namesBy("mem0")).toEqual([
    "single-hop",
    "temporal",
    "multi-hop",
    "open-domain",
    "adversarial",
  ]);
  // supermemoryai/memorybench at 25729a7.
  expect(namesBy("memorybench")).toEqual([
    "single-hop",
    "multi-hop",
    "temporal",
    "world-knowledge",
    "adversarial",
  ]);
});
