import { fileURLToPath } from "node:url";
import type { DatasetDefinition, DatasetFault } from "../dataset-definition.ts";
import { datasetOf, type DatasetReading } from "../dataset-reading.ts";
import { findFile, type WantedFile } from "../files/find-file.ts";
import { readWholeFile } from "../files/read-whole-file.ts";
import { releaseFault, requireRelease } from "../files/release.ts";
import { findMsc } from "./find-msc.ts";
import { readMsc } from "./parse-msc.ts";
import { readSelfInstruct } from "./parse-self-instruct.ts";

const invented = {
  licence: "Apache-2.0 (part of this package)",
  homepage: "https://arxiv.org/abs/2508.19828",
  files: [],
} as const;

export const mscDefinition = {
  description: "Multi-Session Chat (ParlAI): conversations of two to five sessions, no questions",
  licence: "not stated by its owners (not part of this package, not downloaded)",
  homepage: "https://parl.ai/projects/msc",
  files: [],
  load: async (options) => datasetOf(readMsc("msc", await findMsc(options))),
  verify: async (options) => readMsc("msc", await findMsc(options)).faults,
} as const satisfies DatasetDefinition;

const readMscMini = async (): Promise<DatasetReading> =>
  readMsc("msc-mini", await findMsc({ dataDirectory: miniPath("msc-mini") }));

export const mscMiniDefinition = {
  ...invented,
  description: "Four short invented conversations in the form of Multi-Session Chat, no questions",
  load: async () => datasetOf(await readMscMini()),
  verify: async () => (await readMscMini()).faults,
} as const satisfies DatasetDefinition;

const selfInstruct: WantedFile = {
  title: "MSC-Self-Instruct",
  licence: "Apache-2.0",
  file: {
    name: "msc_self_instruct.jsonl",
    folder: "msc",
    url: "https://huggingface.co/datasets/MemGPT/MSC-Self-Instruct/resolve/5138f416f8fa76b75b2e080da87e8a8e346e1500/msc_self_instruct.jsonl",
    // Its owners publish no checksum. Two public projects, independent of each other, recorded this one for the revision.
    sha256: "d3dbea36848b41dc46c0f1548d0ebf74eeaf6390d6f3fe9318e8480dc984495e",
  },
};

async function readSelfInstructFile(
  name: string,
  file: string,
): Promise<{
  readonly reading: DatasetReading;
  readonly sha256: string;
  readonly sizeBytes: number;
}> {
  const bytes = await readWholeFile(file);
  const reading = readSelfInstruct(bytes, { name, source: file });
  return { reading, sha256: reading.dataset.sha256, sizeBytes: bytes.length };
}

export const selfInstructDefinition = {
  description:
    "MSC-Self-Instruct (MemGPT's deep memory retrieval): 500 conversations of five sessions, one question each",
  licence: `${selfInstruct.licence} (not part of this package)`,
  homepage: "https://huggingface.co/datasets/MemGPT/MSC-Self-Instruct",
  files: [selfInstruct.file],
  load: async (options) => {
    const file = await findFile(selfInstruct, options);
    const { reading, ...found } = await readSelfInstructFile("msc-self-instruct", file);
    // What is wrong inside says more than a checksum.
    const dataset = datasetOf(reading);
    requireRelease({ file, ...found }, selfInstruct.file);
    return dataset;
  },
  verify: async (options): Promise<readonly DatasetFault[]> => {
    const file = await findFile(selfInstruct, options);
    const { reading, ...found } = await readSelfInstructFile("msc-self-instruct", file);
    const wrongFile = releaseFault({ file, ...found }, selfInstruct.file);
    return wrongFile === undefined ? reading.faults : [wrongFile, ...reading.faults];
  },
} as const satisfies DatasetDefinition;

const readSelfInstructMini = async (): Promise<DatasetReading> => {
  const file = miniPath("msc-self-instruct-mini.jsonl");
  return (await readSelfInstructFile("msc-self-instruct-mini", file)).reading;
};

export const selfInstructMiniDefinition = {
  ...invented,
  description: "Three short invented conversations in the form of MSC-Self-Instruct",
  load: async () => datasetOf(await readSelfInstructMini()),
  verify: async () => (await readSelfInstructMini()).faults,
} as const satisfies DatasetDefinition;

/** The same relative path holds from src/ and from dist/. */
function miniPath(name: string): string {
  return fileURLToPath(new URL(`../../mini/${name}`, import.meta.url));
}
