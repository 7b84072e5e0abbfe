import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";

/** Writes an experiment as `tsc -b` leaves it in a clone: `benchmarks/dist/<name>.js` of the repository's folder. */
export async function writeCompiledExperiment(
  repositoryRoot: string,
  name: string,
  experiment: unknown,
): Promise<void> {
  const benchmarks = join(repositoryRoot, "benchmarks");
  await mkdir(join(benchmarks, "dist"), { recursive: true });
  await writeFile(join(benchmarks, "package.json"), '{"type":"module"}');
  const text = `export const experiment = ${JSON.stringify(experiment)};`;
  await writeFile(join(benchmarks, "dist", `${name}.js`), text);
}
