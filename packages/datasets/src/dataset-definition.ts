import type { Conversation, Dataset, Question } from "@memory-r1/spec";
import type { LoadDatasetOptions } from "./load-options.ts";

/** One file of a data set, and where its owners publish it. */
export interface DatasetFile {
  readonly name: string;
  readonly url: string;
  /** Folder of the user's data directory that may hold it, such as `locomo`; absent: the data directory itself. */
  readonly folder?: string;
  /** Lower-case hex; absent where no checksum was published or checked. */
  readonly sha256?: string;
  readonly sizeBytes?: number;
}

/** One conversation with the questions about it: what a set that does not fit into memory is read as. */
export interface DatasetPart {
  readonly conversation: Conversation;
  readonly questions: readonly Question[];
  /** What was found odd in this part of the file, in words; see `Dataset.notes`. */
  readonly notes?: readonly string[];
}

/** Something wrong in a file, with all that its owner needs to mend it. */
export interface DatasetFault {
  readonly file: string;
  /** From 1; absent where a file is no sequence of lines. */
  readonly line?: number;
  /** Path of the field, such as `sessions.0.turns.3.text`; empty for the whole line or file. */
  readonly field: string;
  /** What stands there, cut to a readable length. */
  readonly value: string;
  readonly problem: string;
  readonly fix: string;
}

/** What a data set is to the rest of the project. */
export interface DatasetDefinition {
  readonly description: string;
  readonly licence: string;
  readonly homepage: string;
  /** What has to be got; empty where the set is part of this package or the user's own. */
  readonly files: readonly DatasetFile[];
  /** The whole set in memory. */
  load(options: LoadDatasetOptions): Promise<Dataset>;
  /** The set one conversation at a time, in the file's order; absent where the set is small enough to load whole. */
  read?(options: LoadDatasetOptions): AsyncIterable<DatasetPart>;
  /** Every fault of the user's files in one pass; none: the set is sound. */
  verify(options: LoadDatasetOptions): Promise<readonly DatasetFault[]>;
}
