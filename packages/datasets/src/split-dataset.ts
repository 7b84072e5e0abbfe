import {
  ConfigError,
  type Conversation,
  type Dataset,
  type Question,
  type SplitPartName,
} from "@memory-r1/spec";

/** One part of a split: whole conversations with their questions. */
export interface SplitPart {
  readonly conversations: readonly Conversation[];
  /** Without adversarial categories: what the paper trains on and reports. */
  readonly questions: readonly Question[];
  /** The adversarial categories (LoCoMo's 5), apart. */
  readonly adversarialQuestions: readonly Question[];
}

export type DatasetSplit = Readonly<Record<SplitPartName, SplitPart>>;

function selectPart(
  dataset: Dataset,
  conversationIds: readonly string[],
  splitName: string,
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
  const isAdversarial = (question: Question): boolean => question.category.isAdversarial === true;
  return {
    conversations,
    questions: questions.filter((question) => !isAdversarial(question)),
    adversarialQuestions: questions.filter(isAdversarial),
  };
}

/**
 * Splits a data set by whole conversations. For LoCoMo, `memory-r1` is the paper's: conv-26 (152 questions) trains,
 * conv-30 (81) validates, the other eight (1,307) test.
 * @param splitName one of `dataset.splits`; absent: its first.
 * @throws ConfigError where the data set has no such split or lacks a conversation of it.
 */
export function splitDataset(dataset: Dataset, splitName?: string): DatasetSplit {
  const names = Object.keys(dataset.splits);
  const name = splitName ?? names[0] ?? "";
  const split = Object.hasOwn(dataset.splits, name) ? dataset.splits[name] : undefined;
  if (split === undefined) {
    throw new ConfigError(
      names.length === 0
        ? `The data set ${dataset.name} has no split: it can be evaluated on (without training stages), but not trained on.`
        : `The data set ${dataset.name} has no split "${name}". Splits: ${names.join(", ")}.`,
    );
  }
  return {
    train: selectPart(dataset, split.train, name),
    validation: selectPart(dataset, split.validation, name),
    test: selectPart(dataset, split.test, name),
  };
}

/** All conversations as one part to test on: how a data set without a split is evaluated. */
export function wholeAsTest(dataset: Dataset): DatasetSplit {
  const none = selectPart(dataset, [], "");
  const ids = dataset.conversations.map(({ id }) => id);
  return { train: none, validation: none, test: selectPart(dataset, ids, "") };
}
