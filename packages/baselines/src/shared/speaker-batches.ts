import { turnText } from "@memory-r1/core";
import type { ToldSession, Turn } from "@memory-r1/spec";

/** Messages of one `add`, as Mem0's LoCoMo run sends them. */
const batchSize = 2;

/** One message of a batch, as the speaker whose memory it is for sees it. */
export interface BatchMessage {
  readonly turnId: string;
  /** Who says what, with the caption of a picture. */
  readonly text: string;
  /** Mem0's role: the speaker's own messages are the user's, everyone else's the assistant's. */
  readonly role: "user" | "assistant";
}

/** Messages of one session that follow each other, to be added to the memory of one speaker. */
export interface SpeakerBatch {
  readonly speaker: string;
  readonly session: ToldSession;
  readonly messages: readonly BatchMessage[];
}

export interface SpeakerBatches {
  /** Takes one turn in order. A batch is added when it is full or its session ends. */
  tell(turn: Turn, session: ToldSession): Promise<void>;
}

/**
 * Cuts a conversation as Mem0's LoCoMo run does: batches of two messages that do not reach over a session's end, each
 * added once for every speaker who has a message in it. Empty turns are left out.
 * @param participants the speakers that are known, in the order in which theirs are added; others follow when they speak
 */
export function createSpeakerBatches(
  participants: readonly string[],
  add: (batch: SpeakerBatch) => Promise<void>,
): SpeakerBatches {
  const speakers = new Set(participants);
  let session: ToldSession | undefined;
  let turns: Turn[] = [];

  async function flush(): Promise<void> {
    const [ofSession, batch] = [session, turns];
    turns = [];
    if (ofSession === undefined || batch.length === 0) return;
    const speaking = new Set(batch.map(({ speaker }) => speaker));
    for (const speaker of speakers) {
      if (!speaking.has(speaker)) continue;
      const messages = batch.map((turn): BatchMessage => {
        const role = turn.speaker === speaker ? "user" : "assistant";
        return { turnId: turn.id, text: turnText(turn), role };
      });
      await add({ speaker, session: ofSession, messages });
    }
  }

  return {
    tell: async (turn, ofTurn) => {
      if (session?.id !== ofTurn.id) await flush();
      if (hasContent(turn)) {
        // A batch has the session of its last turn, as it was told with it.
        session = ofTurn;
        speakers.add(turn.speaker);
        turns.push(turn);
      }
      if (turns.length === batchSize || ofTurn.ended !== undefined) await flush();
    },
  };
}

/** `for Mia, turns D1:1, D1:2`: what a call to the model is about. */
export function describeBatch({ speaker, messages }: SpeakerBatch): string {
  return `for ${speaker}, turns ${messages.map(({ turnId }) => turnId).join(", ")}`;
}

function hasContent({ text, imageCaption }: Turn): boolean {
  return text.trim() !== "" || imageCaption !== undefined;
}
