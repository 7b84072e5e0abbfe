import type { DatasetFile } from "../dataset-definition.ts";

/** A file of the data set `xiaowu0162/longmemeval-cleaned` (MIT), the histories of September 2025. */
export interface LongMemEvalRelease {
  /** Name of the data set here. */
  readonly name: string;
  /** For messages: `LongMemEval M`. */
  readonly title: string;
  readonly description: string;
  readonly file: DatasetFile;
  /** Absent: small enough to be held in memory. */
  readonly isTooLargeToLoad?: true;
}

const revision = "98d7416c24c778c2fee6e6f3006e7a073259d48f";

function fileOf(name: string, sizeBytes: number, sha256: string): DatasetFile {
  const url = `https://huggingface.co/datasets/xiaowu0162/longmemeval-cleaned/resolve/${revision}/${name}`;
  return { name, folder: "longmemeval", url, sizeBytes, sha256 };
}

// Its owners publish no checksums. Sizes and sha256 are those that several public projects, independent of each other,
// recorded for this revision.
export const longMemEvalReleases = {
  oracle: {
    name: "longmemeval-oracle",
    title: "LongMemEval oracle",
    description: "LongMemEval, evidence sessions only: 500 questions",
    file: fileOf(
      "longmemeval_oracle.json",
      15_388_478,
      "821a2034d219ab45846873dd14c14f12cfe7776e73527a483f9dac095d38620c",
    ),
  },
  s: {
    name: "longmemeval-s",
    title: "LongMemEval S",
    description: "LongMemEval S: 500 questions, about 48 sessions for each",
    file: fileOf(
      "longmemeval_s_cleaned.json",
      277_383_467,
      "d6f21ea9d60a0d56f34a05b609c79c88a451d2ae03597821ea3d5a9678c3a442",
    ),
  },
  m: {
    name: "longmemeval-m",
    title: "LongMemEval M",
    description: "LongMemEval M: 500 questions, about 500 sessions for each",
    file: fileOf(
      "longmemeval_m_cleaned.json",
      2_737_100_077,
      "9d79e5524794a2e6900a3aa9cb7d9152c5a3e8319c9a87c25494ba1eacee495f",
    ),
    isTooLargeToLoad: true,
  },
} as const satisfies Readonly<Record<string, LongMemEvalRelease>>;
