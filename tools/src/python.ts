/** `pnpm python <arguments>`: Python of the prepared environment, with the developers' tools, in packages/engine-torch. */
import { HarnessError } from "@memory-r1/spec";
import { preparePython, pythonPackageDirectory } from "./python-environment.ts";
import { runCommand } from "./run-command.ts";

try {
  const python = await preparePython((line) => {
    console.error(line);
  });
  const { exitCode } = await runCommand(python, process.argv.slice(2), {
    directory: pythonPackageDirectory,
    environment: process.env,
    output: "show",
  });
  process.exitCode = exitCode;
} catch (error) {
  if (!HarnessError.isInstance(error)) throw error;
  console.error(error.message);
  process.exitCode = 2;
}
