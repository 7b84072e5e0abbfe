import type { Random } from "@memory-r1/spec";
import { tokeniseLocomoAnswer } from "../locomo.ts";

const months = [
  "January",
  "February",
  "March",
  "April",
  "May",
  "June",
  "July",
  "August",
  "September",
  "October",
  "November",
  "December",
];
const weekdays = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
/** From two on: "one" is mostly no number. */
const numberWords = [
  "two",
  "three",
  "four",
  "five",
  "six",
  "seven",
  "eight",
  "nine",
  "ten",
  "eleven",
  "twelve",
];

/** Whole numbers with their ordinal ending; no part of a word (PS5), a time (7:30) or a number with a fraction. */
const wholeNumber = /(?<![\p{L}\p{N}.,:])(\d{1,9})(st|nd|rd|th)?(?![\p{L}\p{N}:]|[.,]\d)/gu;

/** Every number differs by at least this much, which no tolerance for being off by one forgives. */
const smallestShift = 3;

/** A place of the text, and what to write there instead. */
interface Replacement {
  readonly start: number;
  readonly length: number;
  readonly text: string;
}

/**
 * The text with one number, month, weekday or name changed, once for each such detail, in the order of the text. Details
 * that the question itself mentions stay: with one of them changed the answer may still say what was asked for.
 * @param names the people who may be taken for each other.
 */
export function changeDetails(
  text: string,
  options: {
    readonly question: string;
    readonly names: readonly string[];
    readonly random: Random;
  },
): string[] {
  const mentioned = new Set(tokeniseLocomoAnswer(options.question));
  const isMentioned = ({ start, length }: Replacement): boolean =>
    tokeniseLocomoAnswer(text.slice(start, start + length)).some((token) => mentioned.has(token));
  return [
    ...changeNumbers(text, options.random),
    ...changeWords(
      text,
      months,
      { isCapitalised: true, smallestStep: smallestShift },
      options.random,
    ),
    ...changeWords(text, weekdays, { isCapitalised: true, smallestStep: 1 }, options.random),
    ...changeWords(
      text,
      numberWords,
      { isCapitalised: false, smallestStep: smallestShift },
      options.random,
    ),
    ...changeWords(text, options.names, { isCapitalised: true, smallestStep: 1 }, options.random),
  ]
    .toSorted((first, second) => first.start - second.start)
    .filter((one) => !isMentioned(one))
    .map((one) => text.slice(0, one.start) + one.text + text.slice(one.start + one.length));
}

function changeNumbers(text: string, random: Random): Replacement[] {
  return [...text.matchAll(wholeNumber)].map((match) => {
    const [whole, digits = "", ending] = match;
    const value = Number(digits);
    const isDay = value >= 1 && value <= 31 && isBesideMonth(text, match.index, whole.length);
    const changed = isDay ? changeDay(value, random) : value + changeBy(value, random);
    const padded = String(changed).padStart(digits.length, "0");
    return {
      start: match.index,
      length: whole.length,
      text: ending === undefined ? padded : `${padded}${ordinalEnding(changed)}`,
    };
  });
}

/** 3 to 9 more; or less, for what is a year or otherwise stays plausible. */
function changeBy(value: number, random: Random): number {
  const shift = smallestShift + Math.floor(random() * 7);
  return value >= 100 && random() < 0.5 ? -shift : shift;
}

/** Another day of the month, from 1 to 28, at least five days away. */
function changeDay(day: number, random: Random): number {
  return ((day - 1 + 5 + Math.floor(random() * 16)) % 28) + 1;
}

const monthBefore = new RegExp(String.raw`\b(?:${months.join("|")}),? *$`);
const monthAfter = new RegExp(String.raw`^ *(?:of )?(?:${months.join("|")})\b`);

function isBesideMonth(text: string, start: number, length: number): boolean {
  return monthBefore.test(text.slice(0, start)) || monthAfter.test(text.slice(start + length));
}

function ordinalEnding(value: number): string {
  const lastTwo = value % 100;
  if (lastTwo >= 11 && lastTwo <= 13) return "th";
  return ["th", "st", "nd", "rd"][value % 10] ?? "th";
}

/** Each whole word of the text that is in the list, replaced by another of the list at least `smallestStep` away in it. */
function changeWords(
  text: string,
  list: readonly string[],
  form: { readonly isCapitalised: boolean; readonly smallestStep: number },
  random: Random,
): Replacement[] {
  return list.flatMap((word, index) => {
    const others = list.filter(
      (other, position) => other !== word && Math.abs(position - index) >= form.smallestStep,
    );
    const flags = form.isCapitalised ? "gu" : "giu";
    const pattern = new RegExp(
      String.raw`(?<![\p{L}\p{N}])${escapeForRegExp(word)}(?![\p{L}\p{N}])`,
      flags,
    );
    return [...text.matchAll(pattern)]
      .filter((match) => word !== "May" || isMonthMay(text, match.index))
      .flatMap((match) => {
        const other = others[Math.floor(random() * others.length)];
        return other === undefined
          ? []
          : [
              {
                start: match.index,
                length: match[0].length,
                text: likeFirstLetter(match[0], other),
              },
            ];
      });
  });
}

/** "May" is a month beside a number, and where it is all of the text. */
function isMonthMay(text: string, start: number): boolean {
  return (
    text.trim() === "May" ||
    /\d\w* *$/.test(text.slice(0, start)) ||
    /^May,? *\d/.test(text.slice(start))
  );
}

function likeFirstLetter(found: string, replacement: string): string {
  return /^\p{Lu}/u.test(found)
    ? replacement.charAt(0).toUpperCase() + replacement.slice(1)
    : replacement;
}

/** RegExp.escape is younger than our Node. */
function escapeForRegExp(text: string): string {
  return text.replaceAll(/[\\^$.*+?()[\]{}|]/g, String.raw`\$&`);
}
