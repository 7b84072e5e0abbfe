/** `pnpm fix`: repairs what can be repaired by a machine. Exit code 1 if something is left for a person. */
import { runSteps } from "./run-steps.ts";

/** Scripts of package.json. Formatting comes last: the repairs before it leave lines as they come. */
const steps = ["lint:fix", "versions:fix", "python:fix", "format:fix"] as const;

const failed = await runSteps(steps, (text) => process.stdout.write(text));
process.exitCode = failed.length === 0 ? 0 : 1;
