import { expect, it } from "vitest";
import { downloadProgress } from "./download-progress.ts";

it("shows each file as one task in megabytes, which never goes back", () => {
  const told: string[] = [];
  const report = downloadProgress((label, total) => {
    told.push(`start ${label} of ${total}`);
    return {
      advance: (by = 1) => told.push(`+${by}`),
      note: () => undefined,
      done: () => told.push("done"),
    };
  });
  const file = "a.json";
  report({ file, doneBytes: 500_000, totalBytes: 2_000_000 });
  report({ file, doneBytes: 1_500_000, totalBytes: 2_000_000 });
  // Started anew.
  report({ file, doneBytes: 0, totalBytes: 2_000_000 });
  report({ file, doneBytes: 1_750_000, totalBytes: 2_000_000 });
  report({ file, doneBytes: 2_000_000, totalBytes: 2_000_000 });
  report({ file: "unknown size", doneBytes: 5 });
  expect(told).toEqual(["start a.json (MB) of 2", "+0.5", "+1", "+0.25", "+0.25", "done"]);
});
