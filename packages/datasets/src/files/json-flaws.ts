import { parseJson } from "@memory-r1/spec";
import { z } from "zod";

/** Something that a JSON parser lets pass and that would lose data or break whoever walks through the value. */
export interface JsonFlaw {
  /** Of the object or list in which it stands, such as `0.qa.3`. */
  readonly path: string;
  /** Position in the text, from 0. */
  readonly offset: number;
  readonly value: string;
  readonly problem: string;
  readonly fix: string;
}

/** No data set here is a tenth as deep; a walk through the value may then recurse. */
export const deepestNesting = 100;

interface Frame {
  /** Of an object: the keys seen so far, decoded. Of a list: undefined. */
  readonly keys: Set<string> | undefined;
  /** Where the walk stands: the latest key, or the position in the list. */
  place: string | number;
}

const quote = 0x22;
const backslash = 0x5c;

/**
 * Looks through valid JSON for what `JSON.parse` accepts in silence: an object with the same key twice (it keeps the
 * last value), `__proto__`, half of a surrogate pair in an escape (no text can hold it), and nesting without end. Linear, no recursion.
 */
export function findJsonFlaws(text: string): JsonFlaw[] {
  const flaws: JsonFlaw[] = [];
  const stack: Frame[] = [];
  /** Whether the next string is a key. */
  let expectsKey = false;
  const add = (offset: number, value: string, problem: string, fix: string): void => {
    flaws.push({ path: stack.map(({ place }) => place).join("."), offset, value, problem, fix });
  };
  for (let index = 0; index < text.length; index++) {
    switch (text[index]) {
      case "{":
      case "[": {
        const isObject = text[index] === "{";
        stack.push({ keys: isObject ? new Set() : undefined, place: isObject ? "" : 0 });
        expectsKey = isObject;
        if (stack.length > deepestNesting) {
          stack.splice(3);
          add(
            index,
            "",
            `is nested more than ${deepestNesting} deep`,
            "give the field the documented form",
          );
          return flaws;
        }
        break;
      }
      case "}":
      case "]":
        stack.pop();
        break;
      case ",": {
        const top = stack.at(-1);
        expectsKey = top?.keys !== undefined;
        if (typeof top?.place === "number") top.place += 1;
        break;
      }
      case '"': {
        const end = endOfString(text, index);
        const raw = text.slice(index, end + 1);
        const top = stack.at(-1);
        const decoded = raw.includes("\\")
          ? parseJson(raw, z.string(), "string")
          : raw.slice(1, -1);
        if (expectsKey && top?.keys !== undefined) {
          top.place = decoded;
          expectsKey = false;
          if (decoded === "__proto__") {
            add(index, raw, "is a key that objects of JavaScript cannot hold", "rename it");
          } else if (top.keys.has(decoded)) {
            add(index, raw, "stands twice in one object", "keep one of the two, or rename one");
          }
          top.keys.add(decoded);
        }
        // Surrogates that are no pair match as code points of their own.
        if (raw.includes("\\u") && /\p{Surrogate}/u.test(decoded)) {
          add(index, raw, "holds half of a surrogate pair", "write the character itself");
        }
        index = end;
        break;
      }
      // Colons, white space, numbers and words say nothing about keys and depth.
      default:
    }
  }
  return flaws;
}

/** Index of the closing quote of the string that opens at `start`. */
function endOfString(text: string, start: number): number {
  let end = start;
  for (;;) {
    end = text.indexOf('"', end + 1);
    if (end < 0) return text.length;
    let backslashes = 0;
    while (text.charCodeAt(end - 1 - backslashes) === backslash) backslashes += 1;
    if (backslashes % 2 === 0 && text.charCodeAt(end) === quote) return end;
  }
}
