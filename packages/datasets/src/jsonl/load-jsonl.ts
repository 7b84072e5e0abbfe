import { stat } from "node:fs/promises";
import { join } from "node:path";
import { ConfigError } from "@memory-r1/spec";
import { datasetOf, type DatasetReading } from "../dataset-reading.ts";
import { readWholeFile } from "../files/read-whole-file.ts";
import { readJsonl } from "./read-jsonl.ts";

/** Names of the two files of the user's own data. */
export const jsonlFileNames = {
  conversations: "conversations.jsonl",
  questions: "questions.jsonl",
} as const;

/** Reads `conversations.jsonl` and `questions.jsonl` of a folder. @throws ConfigError where one is not there */
export async function readJsonlFolder(name: string, folder: string): Promise<DatasetReading> {
  const isFolder = await stat(folder).then(
    (found) => found.isDirectory(),
    () => false,
  );
  const { conversations, questions } = jsonlFileNames;
  if (!isFolder) {
    throw new ConfigError(
      `${folder} is no folder. Give the folder that holds ${conversations} and ${questions}.`,
    );
  }
  const read = async (fileName: string) => {
    const file = join(folder, fileName);
    return { file, bytes: await readWholeFile(file) };
  };
  return readJsonl({
    name,
    conversations: await read(conversations),
    questions: await read(questions),
  });
}

/** @throws ConfigError where a file is not there, DataFormatError at the first fault */
export async function loadJsonlFolder(name: string, folder: string) {
  return datasetOf(await readJsonlFolder(name, folder));
}
