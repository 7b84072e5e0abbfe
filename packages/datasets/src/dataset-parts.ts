import type { Dataset } from "@memory-r1/spec";
import type { DatasetDefinition, DatasetPart } from "./dataset-definition.ts";
import type { LoadDatasetOptions } from "./load-options.ts";

/** A loaded data set, one conversation with its questions at a time. */
export function* partsOf(dataset: Dataset): Generator<DatasetPart> {
  for (const conversation of dataset.conversations) {
    const questions = dataset.questions.filter(
      (question) => question.conversationId === conversation.id,
    );
    yield { conversation, questions };
  }
}

/** Any data set one conversation at a time: read so where it can be, else loaded whole. @throws what its loader throws */
export async function* readParts(
  definition: DatasetDefinition,
  options: LoadDatasetOptions,
): AsyncGenerator<DatasetPart> {
  if (definition.read === undefined) yield* partsOf(await definition.load(options));
  else yield* definition.read(options);
}
