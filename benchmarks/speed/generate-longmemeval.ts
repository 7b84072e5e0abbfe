import { open } from "node:fs/promises";
import { createRandom, type Random } from "@memory-r1/spec";

/** What a generated file should be. */
export interface GeneratedShape {
  /** The file has as many records as come nearest to it. */
  readonly sizeBytes: number;
  readonly seed: number;
  /** LongMemEval M: about 500. */
  readonly sessionsPerRecord: number;
  /** From which every record draws its own: the histories of LongMemEval are drawn from a common pool as well. */
  readonly poolSize: number;
}

const words =
  "amber basket candle dragonfly ember fennel garden harbour island juniper kettle lantern meadow needle orchard pebble quilt river saddle timber umbrella velvet walnut yarrow zephyr of the a and to my we it on in for with that was is café naïve “often” Zürich".split(
    " ",
  );
/** What breaks up the words: all that a JSON string has to escape, and brackets. */
const breaks = ["\n\n", "\n1. ", ' "so to say" ', " {x: [1, 2]} ", "\t", " \\o/ ", " 🌿 ", ". "];
const types = [
  "single-session-user",
  "single-session-preference",
  "single-session-assistant",
  "multi-session",
  "knowledge-update",
  "temporal-reasoning",
];
const weekdays = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];

/**
 * Writes a file of LongMemEval's schema and of any size, in the form that Python's json.dump gives it. Equal shapes give equal
 * bytes.
 */
export async function generateLongMemEval(
  file: string,
  shape: GeneratedShape,
): Promise<{ readonly bytes: number; readonly records: number }> {
  const random = createRandom(shape.seed);
  const pick = (count: number): number => Math.floor(random() * count);
  const pool = Array.from({ length: shape.poolSize }, () => generateSession(random));
  const handle = await open(file, "w");
  let bytes = 0;
  let records = 0;
  const write = async (text: string): Promise<void> => {
    const buffer = Buffer.from(text, "latin1");
    let written = 0;
    while (written < buffer.length) written += (await handle.write(buffer, written)).bytesWritten;
    bytes += buffer.length;
  };
  try {
    await write("[");
    let recordBytes = 0;
    while (records === 0 || bytes + recordBytes / 2 < shape.sizeBytes) {
      const before = bytes;
      const sessions = Array.from(
        { length: shape.sessionsPerRecord },
        () => pool[pick(shape.poolSize)],
      );
      await write((records === 0 ? "" : ", ") + generateRecord(records, sessions, pick));
      records += 1;
      recordBytes = bytes - before;
    }
    await write("]");
  } finally {
    await handle.close();
  }
  return { bytes, records };
}

function generateRecord(
  index: number,
  sessions: readonly (string | undefined)[],
  pick: (count: number) => number,
): string {
  const evidence = pick(sessions.length);
  const isAbstention = index % 17 === 0;
  const ids = sessions.map((_, position) =>
    position === evidence ? `answer_${index}_1` : `filler_${index}_${position}`,
  );
  const dates = sessions.map((_, position) => formatDate(position * 397 + pick(300)));
  const fields = {
    question_id: json(`generated_${index}${isAbstention ? "_abs" : ""}`),
    question_type: json(types[index % types.length] ?? ""),
    question: json("Which herb did I plant beside the amber lantern?"),
    answer: index % 16 === 1 ? String(index) : json("fennel"),
    question_date: json(formatDate(sessions.length * 397 + 1000)),
    haystack_dates: list(dates.map(json)),
    haystack_session_ids: list(ids.map(json)),
    haystack_sessions: list(
      sessions.map((session = "", position) =>
        position === evidence
          ? session.replace('"role": "user",', '"has_answer": true, "role": "user",')
          : session,
      ),
    ),
    answer_session_ids: list([json(ids[evidence] ?? "")]),
  };
  return `{${Object.entries(fields)
    .map(([key, value]) => `"${key}": ${value}`)
    .join(", ")}}`;
}

/** About 11 kB, of 6 to 14 turns. */
function generateSession(random: Random): string {
  const pairs = 3 + Math.floor(random() * 5);
  const turns: string[] = [];
  for (let pair = 0; pair < pairs; pair++) {
    turns.push(`{"role": "user", "content": ${json(generateText(random, 47))}}`);
    turns.push(`{"role": "assistant", "content": ${json(generateText(random, 273))}}`);
  }
  return list(turns);
}

function generateText(random: Random, length: number): string {
  let text = "";
  for (let position = 0; position < length; position++) {
    const source = random() < 0.06 ? breaks : words;
    text += `${source[Math.floor(random() * source.length)] ?? ""} `;
  }
  return text.trimEnd();
}

/** Of a number of minutes after the start of 2022, in the form of LongMemEval. */
function formatDate(minutes: number): string {
  const date = new Date(Date.UTC(2022, 0, 1, 0, minutes));
  const [day = "", time = ""] = date.toISOString().slice(0, 16).split("T");
  return `${day.replaceAll("-", "/")} (${weekdays[date.getUTCDay()] ?? ""}) ${time}`;
}

/** ASCII alone, as json.dump writes it. */
function json(text: string): string {
  return JSON.stringify(text).replaceAll(
    /[\u007f-\uffff]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

function list(items: readonly string[]): string {
  return `[${items.join(", ")}]`;
}
