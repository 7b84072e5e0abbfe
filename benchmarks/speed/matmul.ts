import { join } from "node:path";
import type { PreparedEngine } from "@memory-r1/engine";
import { parseJson } from "@memory-r1/spec";
import { z } from "zod";
import { runWorker } from "../common/run-worker.ts";
import { dtypes, workerEnvironment, type Bench } from "./measure-pair.ts";

const outputSchema = z.strictObject({
  /** 10⁹ operations a second by the size of square matrices; the fastest product of each. */
  squareGflops: z.record(z.string(), z.number().positive()),
  /** The model's own linear layers, one after another, for so many tokens. */
  layerRows: z.int().positive(),
  layerGflops: z.number().positive(),
});

/** What the machine's matrix products reach in one type, by torch's own or the engine's packed ones. */
export const matmulSchema = outputSchema.extend({ dtype: z.enum(dtypes) });
export type Matmul = z.infer<typeof matmulSchema>;

/** The most that any product reached, in operations a second. */
export function peakOf(matmul: Matmul): number {
  return Math.max(...Object.values(matmul.squareGflops), matmul.layerGflops) * 1e9;
}

/** @param rows tokens for which the model's layers are measured */
export async function measureMatmul(
  bench: Bench,
  options: {
    readonly prepared: Pick<PreparedEngine, "python" | "engineDirectory">;
    readonly sourceDirectory: string;
    readonly dtype: Matmul["dtype"];
    readonly rows: number;
  },
): Promise<Matmul> {
  const { dtype, prepared } = options;
  const flags = {
    dtype,
    device: bench.device,
    threads: bench.threads,
    model: bench.modelDirectory,
    rows: options.rows,
  };
  const output = await runWorker({
    command: prepared.python,
    arguments: [
      join(options.sourceDirectory, "matmul.py"),
      ...Object.entries(flags).flatMap(([flag, value]) => [`--${flag}`, String(value)]),
    ],
    modulePath: [join(prepared.engineDirectory, "src")],
    environment: workerEnvironment(bench.threads),
    signal: bench.signal,
  });
  return { ...parseJson(output, outputSchema, "output of matmul.py"), dtype };
}
