import {
  type AnswerMemory,
  type MemoryBank,
  type Retriever,
  selectMemories,
} from "@memory-r1/core";
import type { Conversation, Question } from "@memory-r1/spec";
import { inConversationOrder, type PlayedConversation, toMemory } from "./systems/play-systems.ts";

/** Gives the memories that a question's prompt will show, in the order in which they are shown. */
export type ContextSource = (question: Question) => Promise<readonly AnswerMemory[]>;

/** The arm's own memories, retrieved from the bank that its Manager wrote. */
export function bankContext(
  banks: ReadonlyMap<string, MemoryBank>,
  retriever: Retriever,
  count: number,
): ContextSource {
  return async (question) => {
    const bank = banks.get(question.conversationId);
    if (bank === undefined) throw new RangeError(`no bank for ${question.conversationId}`);
    return selectMemories({ bank, question: question.text, retriever, count });
  };
}

/** Control: the same question against the next conversation's bank, so that form is there and evidence is not. */
export function otherConversationContext(
  banks: ReadonlyMap<string, MemoryBank>,
  retriever: Retriever,
  count: number,
): ContextSource {
  const ids = [...banks.keys()];
  return async (question) => {
    const other = ids[(ids.indexOf(question.conversationId) + 1) % ids.length];
    const bank = other === undefined ? undefined : banks.get(other);
    if (bank === undefined || other === question.conversationId) {
      throw new RangeError(
        "the control of another conversation's memories needs two conversations",
      );
    }
    return selectMemories({ bank, question: question.text, retriever, count });
  };
}

/** Control: nothing but the question. */
export const noContext: ContextSource = () => Promise.resolve([]);

/**
 * Control: the gold evidence. An evidence turn is shown as the facts that the extraction step drew from it, which is
 * what a perfect Manager could have kept; a turn without a fact is shown as it was said.
 */
export function oracleContext(
  conversations: readonly Conversation[],
  count: number,
): ContextSource {
  const evidence = new Map(
    conversations.map((conversation) => [conversation.id, evidenceByTurn(conversation)]),
  );
  return (question) => {
    const byTurn = evidence.get(question.conversationId);
    const shown = new Map<string, AnswerMemory>();
    for (const turnId of question.evidenceTurnIds) {
      for (const memory of byTurn?.get(turnId) ?? []) shown.set(memory.text, memory);
    }
    return Promise.resolve([...shown.values()].slice(0, count));
  };
}

function evidenceByTurn(conversation: Conversation): Map<string, AnswerMemory[]> {
  const byTurn = new Map<string, AnswerMemory[]>();
  for (const session of conversation.sessions) {
    for (const fact of session.facts) {
      for (const turnId of fact.sourceTurnIds) {
        const memories = byTurn.get(turnId) ?? [];
        memories.push({ text: fact.text, date: session.dateText, participant: fact.participant });
        byTurn.set(turnId, memories);
      }
    }
    for (const turn of session.turns) {
      if (byTurn.has(turn.id)) continue;
      byTurn.set(turn.id, [
        {
          text: `${turn.speaker}: ${turn.text}`,
          date: session.dateText,
          participant: turn.speaker,
        },
      ]);
    }
  }
  return byTurn;
}

/** What a memory system of the comparison gave for each question when it was asked, see playSystems. */
export function playedContext(
  system: string,
  played: ReadonlyMap<string, PlayedConversation>,
): ContextSource {
  return (question) => {
    const context = played.get(question.conversationId)?.questions.get(question.id)?.context;
    if (context === undefined || "failed" in context) {
      return Promise.reject(new RangeError(`${system} gave no context for ${question.id}`));
    }
    return Promise.resolve(context);
  };
}

/**
 * The best of all that a system of the comparison stores, by a retriever that is not its own, in the order of the
 * conversation: the system is not asked.
 */
export function storedContext(
  played: ReadonlyMap<string, Pick<PlayedConversation, "memory">>,
  conversations: readonly Conversation[],
  retriever: Retriever,
  count: number,
): ContextSource {
  return async ({ conversationId, text }) => {
    const stored = played.get(conversationId)?.memory.stored;
    const conversation = conversations.find(({ id }) => id === conversationId);
    if (stored === undefined || conversation === undefined)
      throw new RangeError(`nothing was told of ${conversationId}`);
    const best = await retriever.rank(text, stored, count);
    return inConversationOrder(best, conversation).map((item) => toMemory(item, conversation));
  };
}
