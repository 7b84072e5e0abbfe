import type { ChatMessage } from "@memory-r1/spec";
import type { SystemOptions } from "../system-options.ts";

/** What a chat template adds to a message (role and end markers); those of the usual templates need less. */
const tokensPerMessage = 8;

export function messageTokens(content: string, countTokens: (text: string) => number): number {
  return countTokens(content) + tokensPerMessage;
}

/** What the messages of a prompt take together. */
export function promptTokens(
  messages: readonly Pick<ChatMessage, "content">[],
  countTokens: (text: string) => number,
): number {
  return messages.reduce((sum, { content }) => sum + messageTokens(content, countTokens), 0);
}

/**
 * The most of `count` items whose prompt leaves room for the reply; `least` of them whatever they take.
 * @param render the prompt with the first `shown` items
 */
export function countThatFits(
  options: Pick<SystemOptions, "countTokens" | "contextTokens" | "replyTokens">,
  count: number,
  render: (shown: number) => readonly ChatMessage[],
  { least }: { readonly least: 0 | 1 },
): number {
  const room = options.contextTokens - options.replyTokens;
  for (let shown = count; shown > least; shown--) {
    if (promptTokens(render(shown), options.countTokens) <= room) return shown;
  }
  return Math.min(count, least);
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
  const length = longestFit(text, (beginning) => countTokens(`${beginning}…`) <= tokens);
  return length === 0 ? "" : `${text.slice(0, length)}…`;
}

/** Length of the longest beginning with at most `tokens` tokens; at least one character, so that cutting comes to an end. */
export function longestPrefix(
  text: string,
  tokens: number,
  countTokens: (text: string) => number,
): number {
  if (countTokens(text) <= tokens) return text.length;
  const length = longestFit(text, (beginning) => countTokens(beginning) <= tokens);
  return length === 0 ? (characterEnds(text)[0] ?? 0) : length;
}

/** Length of the longest beginning that fits, short of the whole text; 0 where not even its first character does. */
function longestFit(text: string, fits: (beginning: string) => boolean): number {
  const ends = [0, ...characterEnds(text)];
  let [longest, tooLong] = [0, ends.length - 1];
  while (tooLong - longest > 1) {
    const middle = Math.floor((longest + tooLong) / 2);
    if (fits(text.slice(0, ends[middle]))) longest = middle;
    else tooLong = middle;
  }
  return ends[longest] ?? 0;
}

/** Where the characters that a reader sees end: one is never cut, whatever it is made of. */
function characterEnds(text: string): readonly number[] {
  const segments = new Intl.Segmenter("und", { granularity: "grapheme" }).segment(text);
  return Array.from(segments, ({ index, segment }) => index + segment.length);
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
