import type { ContextItem } from "@memory-r1/spec";
import { longestPrefix } from "../shared/prompt-room.ts";

/** A run of a conversation's text, and the turns of which it holds at least one character. */
interface Piece {
  readonly text: string;
  readonly turnId: string;
  readonly date: string;
}

/** A text that grows at its end and is cut into windows of a fixed number of tokens that do not overlap. */
export interface WindowedText {
  /** Adds a turn's text as it is, line break included. */
  append(piece: { readonly text: string; readonly turnId: string; readonly date: string }): void;
  /** The full windows in order, then the rest. A window's date is that of its first turn. */
  windows(): readonly ContextItem[];
}

/**
 * @param size tokens of a window by `countTokens`: each holds as many characters as fit, so that a turn can begin in one
 * window and end in the next. Never cuts a character in two.
 */
export function createWindowedText(
  size: number,
  countTokens: (text: string) => number,
): WindowedText {
  const full: ContextItem[] = [];
  let rest: readonly Piece[] = [];
  /** Tokens of the rest's pieces one by one: what they take together is hardly ever more. */
  let restTokens = 0;

  return {
    append: (piece) => {
      rest = [...rest, piece];
      restTokens += countTokens(piece.text);
      if (restTokens <= size) return;
      for (;;) {
        const text = textOf(rest);
        const length = longestPrefix(text, size, countTokens);
        if (length === text.length) break;
        full.push(toItem(splitAt(rest, length)[0]));
        rest = splitAt(rest, length)[1];
      }
      restTokens = rest.reduce((sum, { text }) => sum + countTokens(text), 0);
    },
    windows: () => [...full, ...(rest.length === 0 ? [] : [toItem(rest)])].filter(isVisible),
  };
}

function isVisible({ text }: ContextItem): boolean {
  return text.trim() !== "";
}

function textOf(pieces: readonly Piece[]): string {
  return pieces.map(({ text }) => text).join("");
}

function toItem(pieces: readonly Piece[]): ContextItem {
  return {
    text: textOf(pieces).trimEnd(),
    date: pieces[0]?.date ?? "",
    sourceTurnIds: [...new Set(pieces.map(({ turnId }) => turnId))],
  };
}

/** The pieces before and after a position in their text. */
function splitAt(
  pieces: readonly Piece[],
  position: number,
): readonly [readonly Piece[], readonly Piece[]] {
  const [before, after]: [Piece[], Piece[]] = [[], []];
  let start = 0;
  for (const piece of pieces) {
    const cut = Math.min(Math.max(position - start, 0), piece.text.length);
    if (cut > 0) before.push({ ...piece, text: piece.text.slice(0, cut) });
    if (cut < piece.text.length) after.push({ ...piece, text: piece.text.slice(cut) });
    start += piece.text.length;
  }
  return [before, after];
}
