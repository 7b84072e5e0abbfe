import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import type { Dataset } from "@memory-r1/spec";
import { parseLocomo } from "../locomo/parse-locomo.ts";

// The same relative path holds from src/ and from dist/.
const file = fileURLToPath(new URL("../../mini/locomo-mini.json", import.meta.url));

/** The embedded mini set: three short invented conversations in LoCoMo's schema, so that everything runs offline. */
export async function loadLocomoMini(): Promise<Dataset> {
  return parseLocomo(await readFile(file), {
    name: "locomo-mini",
    source: file,
    splits: { "memory-r1": { train: ["mini-1"], validation: ["mini-2"], test: ["mini-3"] } },
  });
}
