import { createHash } from "node:crypto";
import {
  type AnswerMemory,
  type MemoryBank,
  type Retriever,
  selectMemories,
} from "@memory-r1/core";
import type {
  AskedQuestion,
  ContextItem,
  Conversation,
  ExtractedFact,
  MemorySession,
  MemorySystem,
  Question,
  Session,
  ToldSession,
} from "@memory-r1/spec";

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

/** A memory system of the comparison: the conversations are told to it turn by turn before the first question. */
export async function systemContext(
  system: MemorySystem,
  conversations: readonly Conversation[],
): Promise<ContextSource> {
  const sessions = new Map<
    string,
    { session: MemorySession; order: Map<string, number>; speakers: Map<string, string> }
  >();
  for (const conversation of conversations) {
    const session = await system.open({
      id: conversation.id,
      participants: conversation.participants,
    });
    const order = new Map<string, number>();
    const speakers = new Map<string, string>();
    for (const part of conversation.sessions) {
      for (const turn of part.turns) {
        order.set(turn.id, order.size);
        speakers.set(turn.id, turn.speaker);
        await session.ingest(turn, toldSession(part, turn.id), factsToldWith(turn.id, part));
      }
    }
    sessions.set(conversation.id, { session, order, speakers });
  }
  return async (question) => {
    const opened = sessions.get(question.conversationId);
    if (opened === undefined)
      throw new RangeError(`${question.conversationId} was not told to ${system.name}`);
    const items = await opened.session.context(askedQuestion(question));
    // The same order as for banks: what was said first comes first.
    return [...items]
      .sort((one, other) => position(one, opened.order) - position(other, opened.order))
      .map((item) => {
        const participant = opened.speakers.get(item.sourceTurnIds[0] ?? "");
        const { text, date } = item;
        return participant === undefined ? { text, date } : { text, date, participant };
      });
  };
}

/** Facts that begin in a turn; with a session's last turn, those of which no turn is known (Multi-Session Chat). */
function factsToldWith(turnId: string, { turns, facts }: Session): ExtractedFact[] {
  const isLast = turns.at(-1)?.id === turnId;
  return facts.filter(({ sourceTurnIds: [first] }) =>
    first === undefined ? isLast : first === turnId,
  );
}

/**
 * A question as a system sees it. Its own id may say what is right (LongMemEval's end in `_abs` where nothing is), so a system
 * gets another one: always the same for the same question, and telling nothing of it.
 */
function askedQuestion({ id, text, dateText }: Question): AskedQuestion {
  return {
    id: createHash("sha256").update(id).digest("hex").slice(0, 16),
    text,
    ...(dateText === undefined ? {} : { dateText }),
  };
}

/** A session as a system sees it: what it is, never what is to come in it; its summary with its last turn. */
function toldSession(
  { id, dateText, dateTime, summary, turns }: Session,
  turnId: string,
): ToldSession {
  const ended = summary === undefined ? {} : { summary };
  return {
    id,
    dateText,
    ...(dateTime === undefined ? {} : { dateTime }),
    ...(turns.at(-1)?.id === turnId ? { ended } : {}),
  };
}

function position(item: ContextItem, order: ReadonlyMap<string, number>): number {
  return order.get(item.sourceTurnIds[0] ?? "") ?? order.size;
}
