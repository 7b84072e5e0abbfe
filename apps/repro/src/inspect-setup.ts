import { join } from "node:path";
import {
  checkLocomo,
  checkNodeVersion,
  checkPnpm,
  checkWritable,
  type DoctorFinding,
  type Finding,
} from "./doctor-checks.ts";
import type { Environment } from "./environment.ts";
import type { ProjectFacts } from "./project-facts.ts";

export interface InspectSetupOptions {
  readonly environment: Environment;
  readonly repositoryRoot: string;
  readonly project: ProjectFacts;
  readonly nodeVersion: string;
  /** What the engine needs: Python, its environment, the models, disk and memory. */
  inspectEngine(): Promise<readonly Finding[]>;
  /** Path of the official LoCoMo file if it is there. @throws ConfigError */
  findLocomo(): Promise<string>;
}

/** Everything that `repro doctor` looks at, in the order in which a run would meet it. */
export async function inspectSetup(
  options: InspectSetupOptions,
): Promise<readonly DoctorFinding[]> {
  const { environment, project } = options;
  const engine = await options.inspectEngine();
  return [
    checkNodeVersion(options.nodeVersion, project.minimumNodeVersion),
    checkPnpm(environment.pnpmVersion, project.pnpmVersion),
    ...engine.map((finding) => ({ ...finding, neededByDemo: true })),
    await checkWritable(
      "runs",
      join(options.repositoryRoot, "runs"),
      "make the folder writable, or give another one with --out",
    ),
    await checkLocomo(() => options.findLocomo()),
  ];
}
