import { compactFormat } from "./compact.ts";
import { mem0JsonFormat } from "./mem0-json.ts";
import type { ManagerFormat } from "./manager-format.ts";

/** Every operation format by name. To add one: a file beside this one, a prompt file, and a line here. */
export const managerFormats = {
  "mem0-json": mem0JsonFormat,
  compact: compactFormat,
} as const satisfies Readonly<Record<string, ManagerFormat>>;

export type ManagerFormatName = keyof typeof managerFormats;
