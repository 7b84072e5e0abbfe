import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import createWabt from "wabt";
import { createQuantisedScan, scanModuleBase64 } from "./quantised-scan.ts";

function requireScan(dimensions: number) {
  const scan = createQuantisedScan(dimensions);
  if (scan === undefined) throw new Error("this Node has no WebAssembly SIMD");
  return scan;
}

describe("quantised scan", () => {
  it("is compiled from quantised-scan.wat", async () => {
    const wabt = await createWabt();
    const source = readFileSync(new URL("quantised-scan.wat", import.meta.url), "utf8");
    const module = wabt.parseWat("quantised-scan.wat", source, { simd: true });
    module.validate();
    expect(Buffer.from(module.toBinary({}).buffer).toString("base64")).toBe(scanModuleBase64);
  });

  it("gives the sums computed by hand, of the rows named, in their order", () => {
    const scan = requireScan(3);
    scan.setRow(0, Int8Array.of(1, 2, 3));
    scan.setRow(1, Int8Array.of(-127, 127, 0));
    scan.setRow(2, Int8Array.of(0, 0, 1));
    scan.setQuery(Int16Array.of(4, -5, 1000));
    // 4 - 10 + 3000; -508 - 635; 1000.
    expect([...scan.sums(Int32Array.of(2, 0, 1, 0))]).toEqual([1000, 2994, -1143, 2994]);
  });

  it.each([1, 7, 16, 17, 384, 1536, 4096])("does not overflow at %i dimensions", (dimensions) => {
    const scan = requireScan(dimensions);
    scan.setRow(0, new Int8Array(dimensions).fill(127));
    scan.setRow(5000, new Int8Array(dimensions).fill(-127));
    scan.setQuery(new Int16Array(dimensions).fill(scan.queryLimit));
    const sum = dimensions * 127 * scan.queryLimit;
    expect(sum).toBeLessThan(2 ** 31);
    expect([...scan.sums(Int32Array.of(0, 5000))]).toEqual([sum, -sum]);
  });
});
