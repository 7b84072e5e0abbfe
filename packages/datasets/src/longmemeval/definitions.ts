import { fileURLToPath } from "node:url";
import { ConfigError } from "@memory-r1/spec";
import type { DatasetDefinition, DatasetPart } from "../dataset-definition.ts";
import { findFile, type WantedFile } from "../files/find-file.ts";
import type { LoadDatasetOptions } from "../load-options.ts";
import { loadLongMemEval, readLongMemEval, verifyLongMemEval } from "./read-longmemeval.ts";
import { type LongMemEvalRelease, longMemEvalReleases } from "./releases.ts";

const licence = "MIT";
const homepage = "https://github.com/xiaowu0162/LongMemEval";

/** What the three files have in common; S and oracle can be loaded whole as well as read. */
function define(release: LongMemEvalRelease) {
  const wanted: WantedFile = { title: release.title, licence, file: release.file };
  const sourceOf = async (options: LoadDatasetOptions) => ({
    name: release.name,
    file: await findFile(wanted, options),
    release: release.file,
    findFlaws: false,
  });
  return {
    description: release.description,
    licence: `${licence} (not part of this package)`,
    homepage,
    files: [release.file],
    load: async (options) => {
      if (release.isTooLargeToLoad !== true) return loadLongMemEval(await sourceOf(options));
      throw new ConfigError(
        `${release.title} is too large to be held in memory: read it one question at a time, with ` +
          `\`datasets["${release.name}"].read(options)\`, or use longmemeval-s.`,
      );
    },
    read: async function* (options): AsyncGenerator<DatasetPart> {
      yield* readLongMemEval(await sourceOf(options));
    },
    verify: async (options) => verifyLongMemEval(await sourceOf(options)),
  } as const satisfies DatasetDefinition;
}

export const longMemEvalOracleDefinition = define(longMemEvalReleases.oracle);
export const longMemEvalSDefinition = define(longMemEvalReleases.s);
export const longMemEvalMDefinition = define(longMemEvalReleases.m);

const mini = {
  name: "longmemeval-mini",
  // The same relative path holds from src/ and from dist/.
  file: fileURLToPath(new URL("../../mini/longmemeval-mini.json", import.meta.url)),
};

export const longMemEvalMiniDefinition = {
  description: "Eight short invented histories in LongMemEval's schema, one question each",
  licence: "Apache-2.0 (part of this package)",
  homepage: "https://arxiv.org/abs/2508.19828",
  files: [],
  load: () => loadLongMemEval(mini),
  read: () => readLongMemEval(mini),
  verify: () => verifyLongMemEval(mini),
} as const satisfies DatasetDefinition;
