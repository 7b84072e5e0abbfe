import type { ChatMessage } from "@memory-r1/spec";

/** What a chat template adds to a message (role and end markers); those of the usual templates need less. */
const tokensPerMessage = 8;

export function messageTokens(content: string, countTokens: (text: string) => number): number {
  return countTokens(content) + tokensPerMessage;
}

/** Messages of one side in a row as one message: many chat templates want the sides to take turns. */
export function joinSameRole(messages: readonly ChatMessage[]): readonly ChatMessage[] {
  const joined: ChatMessage[] = [];
  for (const message of messages) {
    const last = joined.at(-1);
    if (last?.role === message.role) {
      joined[joined.length - 1] = { ...last, content: `${last.content}\n${message.content}` };
    } else joined.push(message);
  }
  return joined;
}

/**
 * Messages that together take at most `room` tokens: where they take more, the longest lose their ends until they do.
 * `shortened` says how many did.
 */
export function shortenToRoom<Message extends { readonly content: string }>(
  messages: readonly Message[],
  room: number,
  countTokens: (text: string) => number,
): { readonly messages: readonly Message[]; readonly shortened: number } {
  const sizes = messages.map(({ content }) => messageTokens(content, countTokens));
  if (sizes.reduce((sum, size) => sum + size, 0) <= room) return { messages, shortened: 0 };
  const limit = largestShare(sizes, room);
  let shortened = 0;
  const fitting = messages.map((message, index) => {
    if ((sizes[index] ?? 0) <= limit) return message;
    shortened += 1;
    const content = cutToTokens(message.content, limit - tokensPerMessage, countTokens);
    return { ...message, content };
  });
  return { messages: fitting, shortened };
}

/** The longest beginning of a text that takes at most `tokens` with the mark that something is left out. */
export function cutToTokens(
  text: string,
  tokens: number,
  countTokens: (text: string) => number,
): string {
  if (countTokens(text) <= tokens) return text;
  const characters = Array.from(text);
  let [fits, tooMany] = [0, characters.length];
  while (tooMany - fits > 1) {
    const middle = Math.floor((fits + tooMany) / 2);
    if (countTokens(`${characters.slice(0, middle).join("")}…`) <= tokens) fits = middle;
    else tooMany = middle;
  }
  return fits === 0 ? "" : `${characters.slice(0, fits).join("")}…`;
}

/** The largest number of tokens for which the sizes, none counted above it, sum up to at most `room`. */
function largestShare(sizes: readonly number[], room: number): number {
  const ascending = sizes.toSorted((left, right) => left - right);
  let left = room;
  for (const [index, size] of ascending.entries()) {
    const share = Math.floor(left / (ascending.length - index));
    if (size > share) return share;
    left -= size;
  }
  return Number.POSITIVE_INFINITY;
}
