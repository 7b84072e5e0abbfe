/** One line of a file that may hold anything. */
export interface InputLine {
  /** From 1. */
  readonly number: number;
  readonly content:
    | { readonly kind: "text"; readonly text: string }
    | { readonly kind: "no-utf8"; readonly bytes: Uint8Array }
    /** Longer than the limit: dropped, for nothing else would keep memory bounded. */
    | { readonly kind: "too-long"; readonly byteLength: number };
}

/** Far above any prediction, far below what would fill the memory. */
const maxLineBytes = 64 * 2 ** 20;

const lineFeed = 0x0a;
const carriageReturn = 0x0d;

/**
 * Cuts bytes at line feeds alone (JSON may hold U+2028, at which Node's readline would cut), and gives the whole lines
 * of each chunk together. `\r\n`, a byte order mark at the start and a missing last line feed are taken as meant.
 * Blank lines are left out, and counted in the numbers. Memory: one chunk and one line.
 */
export async function* readInputLines(
  chunks: AsyncIterable<Uint8Array>,
  limitBytes: number = maxLineBytes,
): AsyncGenerator<readonly InputLine[]> {
  const decoder = new TextDecoder("utf-8", { fatal: true });
  let pending: Uint8Array[] = [];
  let pendingBytes = 0;
  let number = 0;

  const keep = (part: Uint8Array): void => {
    pendingBytes += part.length;
    // Of a line that is too long only the length is kept.
    if (pendingBytes > limitBytes) pending = [];
    else if (part.length > 0) pending.push(part);
  };
  const endLine = (): InputLine[] => {
    number += 1;
    const byteLength = pendingBytes;
    const bytes = pending.length === 1 ? pending[0] : Buffer.concat(pending);
    pending = [];
    pendingBytes = 0;
    if (byteLength > limitBytes) return [{ number, content: { kind: "too-long", byteLength } }];
    if (bytes === undefined) return [];
    const whole = bytes.at(-1) === carriageReturn ? bytes.subarray(0, -1) : bytes;
    let text: string;
    try {
      text = decoder.decode(whole);
    } catch {
      return [{ number, content: { kind: "no-utf8", bytes: whole.slice() } }];
    }
    return text.trim() === "" ? [] : [{ number, content: { kind: "text", text } }];
  };

  for await (const chunk of chunks) {
    const lines: InputLine[] = [];
    let start = 0;
    for (let end = chunk.indexOf(lineFeed); end >= 0; end = chunk.indexOf(lineFeed, start)) {
      keep(chunk.subarray(start, end));
      lines.push(...endLine());
      start = end + 1;
    }
    // A copy: whoever gives the chunks may use their memory again.
    keep(chunk.slice(start));
    if (lines.length > 0) yield lines;
  }
  if (pendingBytes > 0) yield endLine();
}
