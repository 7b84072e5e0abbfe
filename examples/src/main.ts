import { createInterface } from "node:readline/promises";
import { parseArgs } from "node:util";
import { createInferenceGenerator } from "@memory-r1/models";
import { ConfigError, HarnessError } from "@memory-r1/spec";
import { openStore } from "./open-store.ts";
import { examples } from "./registry.ts";

const help = `Usage: example <name> [--store memories.sqlite] [--endpoint URL --model NAME [--small]]

${Object.entries(examples)
  .map(([name, { description }]) => `  ${name.padEnd(18)}${description}`)
  .join("\n")}

Without --endpoint no language model is asked: the replies come from a script, in the chat from two rules.
Without --store nothing is kept when the program ends.
The access token is read from the environment variable MEMORY_R1_TOKEN.
`;

/** @throws ConfigError for what the user can mend */
async function main(): Promise<void> {
  const { values, positionals } = readArguments();
  const [name] = positionals;
  const example = name === undefined ? undefined : examples[name];
  if (example === undefined) {
    if (name !== undefined) throw new ConfigError(`There is no example "${name}".\n\n${help}`);
    console.log(help);
    return;
  }
  const { endpoint, model } = values;
  if ((endpoint === undefined) !== (model === undefined))
    throw new ConfigError("Give --endpoint and --model together: the model's name on that server.");
  const accessToken = process.env["MEMORY_R1_TOKEN"];
  const store = await openStore(values.store);
  const input = createInterface({ input: process.stdin });
  try {
    await example.run({
      ...(endpoint === undefined || model === undefined
        ? {}
        : {
            model: createInferenceGenerator({
              endpointUrl: endpoint,
              model,
              ...(accessToken === undefined ? {} : { accessToken }),
              logger: { info: console.error, warn: console.error },
            }),
          }),
      small: values.small === true,
      store,
      now: () => new Date(),
      lines: input,
      write: (line) => console.log(line),
    });
  } finally {
    input.close();
    await store.close();
  }
}

function readArguments() {
  try {
    return parseArgs({
      allowPositionals: true,
      options: {
        store: { type: "string" },
        endpoint: { type: "string" },
        model: { type: "string" },
        small: { type: "boolean" },
      },
    });
  } catch (error) {
    throw new ConfigError(
      `${error instanceof Error ? error.message : String(error)}\n\n${help}`,
      error,
    );
  }
}

try {
  await main();
} catch (error) {
  console.error(HarnessError.isInstance(error) ? error.message : error);
  process.exitCode = error instanceof ConfigError ? 2 : 1;
}
