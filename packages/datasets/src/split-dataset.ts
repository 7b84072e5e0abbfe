import { ConfigError, type Conversation, type Dataset, type Question } from "@memory-r1/spec";
import { adversarialCategoryCode } from "./locomo/categories.ts";
import {
  datasets,
  isDatasetName,
  type SplitDefinition,
  type SplitName,
  type SplitPartName,
} from "./registry.ts";

/** One part of a split: whole conversations with their questions. */
export interface SplitPart {
  readonly conversations: readonly Conversation[];
  /** Without the adversarial category: what the paper trains on and reports. */
  readonly questions: readonly Question[];
  /** The adversarial category (LoCoMo's 5), apart. */
  readonly adversarialQuestions: readonly Question[];
}

export type DatasetSplit = Readonly<Record<SplitPartName, SplitPart>>;

function selectPart(
  dataset: Dataset,
  conversationIds: readonly string[],
  splitName: SplitName,
): SplitPart {
  const conversations = conversationIds.map((id) => {
    const conversation = dataset.conversations.find((one) => one.id === id);
    if (conversation === undefined) {
      throw new ConfigError(
        `${dataset.name} has no conversation ${id}, which its split ${splitName} names. Load the whole data set.`,
      );
    }
    return conversation;
  });
  const questions = dataset.questions.filter((question) =>
    conversationIds.includes(question.conversationId),
  );
  const isAdversarial = (question: Question): boolean =>
    question.category.code === adversarialCategoryCode;
  return {
    conversations,
    questions: questions.filter((question) => !isAdversarial(question)),
    adversarialQuestions: questions.filter(isAdversarial),
  };
}

/**
 * Splits a data set of the registry by whole conversations. For LoCoMo, `memory-r1` is the paper's: conv-26 (152
 * questions) trains, conv-30 (81) validates, the other eight (1,307) test.
 * @throws ConfigError where the data set is not in the registry or lacks a conversation of the split.
 */
export function splitDataset(dataset: Dataset, splitName: SplitName): DatasetSplit {
  if (!isDatasetName(dataset.name)) {
    throw new ConfigError(
      `No split is defined for the data set ${dataset.name}. Known data sets: ${Object.keys(datasets).join(", ")}.`,
    );
  }
  const split: SplitDefinition = datasets[dataset.name].splits[splitName];
  return {
    train: selectPart(dataset, split.train, splitName),
    validation: selectPart(dataset, split.validation, splitName),
    test: selectPart(dataset, split.test, splitName),
  };
}
