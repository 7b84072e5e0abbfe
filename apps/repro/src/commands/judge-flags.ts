import { judges, type JudgeName } from "@memory-r1/metrics";
import { ConfigError } from "@memory-r1/spec";
import { parseText, parseWholeNumber } from "../command-flags.ts";
import type { JudgeSettings } from "../judging/judge-work.ts";

/** Flags of every command that asks a judge. */
export interface JudgeFlags {
  readonly judge: JudgeName;
  readonly model: string;
  readonly endpoint?: string;
  readonly concurrency: number;
  readonly unconstrained: boolean;
}

export const judgeFlags = {
  judge: {
    kind: "parsed",
    parse: parseJudgeName,
    brief: `Who judges: ${Object.keys(judges).join(", ")}`,
    placeholder: "NAME",
  },
  model: {
    kind: "parsed",
    parse: parseText,
    brief: "The judge's model: as the endpoint knows it, a Hugging Face id, or an embedded model",
    placeholder: "NAME",
  },
  endpoint: {
    kind: "parsed",
    parse: parseEndpoint,
    brief: "A chat server of OpenAI's shape (its token: MEMORY_R1_ENDPOINT_TOKEN)",
    placeholder: "URL",
    optional: true,
  },
  concurrency: {
    kind: "parsed",
    parse: parseWholeNumber(1),
    brief: "Calls in flight at once",
    placeholder: "N",
    default: "8",
  },
  unconstrained: {
    kind: "boolean",
    brief: "Do not send the schema of the reply, for servers that refuse it",
    default: false,
    withNegated: false,
  },
} as const;

/** What each judge is, for a command's help. */
export const judgeDescriptions = `Judges:\n${Object.entries(judges)
  .map(([name, { description, source }]) => `  ${name}: ${description} (${source})`)
  .join("\n")}`;

/** The flags as what the work takes. */
export function toJudgeSettings(flags: JudgeFlags, runs: number): JudgeSettings {
  return {
    judge: flags.judge,
    model: flags.model,
    ...(flags.endpoint === undefined ? {} : { endpoint: flags.endpoint }),
    concurrency: flags.concurrency,
    constrained: !flags.unconstrained,
    runs,
  };
}

function parseJudgeName(input: string): JudgeName {
  if (isJudgeName(input)) return input;
  throw new ConfigError(
    `there is no judge ${JSON.stringify(input)}: ${Object.keys(judges).join(", ")}`,
  );
}

function isJudgeName(name: string): name is JudgeName {
  return Object.hasOwn(judges, name);
}

function parseEndpoint(input: string): string {
  if (URL.canParse(input) && /^https?:$/.test(new URL(input).protocol)) return input;
  throw new ConfigError(
    `${JSON.stringify(input)} is no address of a server, such as http://127.0.0.1:8000`,
  );
}
