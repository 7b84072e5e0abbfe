import { createHash } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ConfigError, DataFormatError, DataIntegrityError } from "@memory-r1/spec";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { DatasetFile, DatasetPart } from "../dataset-definition.ts";
import { loadLongMemEval, readLongMemEval, verifyLongMemEval } from "./read-longmemeval.ts";

let folder = "";
let file = "";
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "longmemeval-test-"));
  file = join(folder, "longmemeval_s_cleaned.json");
});
afterEach(async () => {
  await rm(folder, { recursive: true, force: true });
});

function recordOf(id: string, changes: object = {}): object {
  return {
    question_id: id,
    question_type: "single-session-user",
    question: "What did I say?",
    answer: "Grüße 🌿",
    question_date: "2023/05/30 (Tue) 21:56",
    haystack_dates: ["2023/05/20 (Sat) 02:21"],
    haystack_session_ids: ["answer_1"],
    haystack_sessions: [[{ role: "user", content: 'Grüße 🌿 "}]', has_answer: true }]],
    answer_session_ids: ["answer_1"],
    ...changes,
  };
}

/** Python's json.dump: no character above 0x7e, spaces after commas. */
function asPython(records: readonly object[]): string {
  return `[${records
    .map((record) =>
      JSON.stringify(record).replaceAll(
        /[\u0080-\uffff]/g,
        (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`,
      ),
    )
    .join(", ")}]`;
}

async function collect(release?: DatasetFile): Promise<{ parts: DatasetPart[]; error: unknown }> {
  const parts: DatasetPart[] = [];
  try {
    for await (const part of readLongMemEval(
      release === undefined ? { file } : { file, release },
    )) {
      parts.push(part);
    }
  } catch (error) {
    return { parts, error };
  }
  return { parts, error: undefined };
}

const idsOf = (parts: readonly DatasetPart[]): string[] =>
  parts.flatMap(({ questions }) => questions.map(({ id }) => id));
const sha256Of = (bytes: string | Uint8Array): string =>
  createHash("sha256").update(bytes).digest("hex");
const three = [recordOf("q1"), recordOf("q2", { answer: 7 }), recordOf("q3")];
/** Where the third begins, as Python writes the file: ASCII, so that characters are bytes. */
const lastRecord = asPython(three).lastIndexOf('{"question_id"');

describe("readLongMemEval", () => {
  it("gives equal questions whether the file is ASCII, UTF-8 or indented, and its checksum", async () => {
    for (const text of [asPython(three), JSON.stringify(three), JSON.stringify(three, null, 4)]) {
      await writeFile(file, text);
      const { parts, error } = await collect();
      expect(error).toBeUndefined();
      expect(idsOf(parts)).toEqual(["q1", "q2", "q3"]);
      expect(parts.map(({ conversation }) => conversation.id)).toEqual([
        "longmemeval-1",
        "longmemeval-2",
        "longmemeval-3",
      ]);
      expect(parts[0]?.questions[0]?.gold).toBe("Grüße 🌿");
      expect(parts[2]?.conversation.sessions[0]?.turns[0]?.text).toBe('Grüße 🌿 "}]');
      const dataset = await loadLongMemEval({ name: "mine", file });
      expect(dataset).toEqual({
        name: "mine",
        sha256: sha256Of(text),
        conversations: parts.map(({ conversation }) => conversation),
        questions: parts.flatMap(({ questions }) => questions),
        splits: {},
        notes: ["q2: the answer is a number, read as text"],
      });
    }
  });

  it("reads records over many pieces of the stream", async () => {
    const long = 'Grüße 🌿 \\ " '.repeat(120_000);
    const sessions = [[{ role: "assistant", content: long }]];
    await writeFile(
      file,
      JSON.stringify([recordOf("q1", { haystack_sessions: sessions }), recordOf("q2")]),
    );
    const { parts, error } = await collect();
    expect(error).toBeUndefined();
    expect(idsOf(parts)).toEqual(["q1", "q2"]);
    expect(parts[0]?.conversation.sessions[0]?.turns[0]?.text).toBe(long);
  });

  it.each([
    [
      "cut off inside a record",
      (text: string) => text.slice(0, text.length - 30),
      2,
      new RegExp(`at 2: the file ends inside this record \\(at byte ${lastRecord}\\)`),
    ],
    [
      "cut off behind a record",
      (text: string) => text.slice(0, text.lastIndexOf(", {")),
      2,
      /at 2: the file ends before its list does \(at byte \d+\)/,
    ],
    [
      "followed by something",
      (text: string) => `${text}\n${text}`,
      3,
      /"\[" stands after the end of the list/,
    ],
    [
      "no list",
      (text: string) => text.slice(1, -1),
      0,
      /the file is no JSON list: it begins with "\{"/,
    ],
    ["empty", () => "", 0, /the file is empty/],
  ])(
    "of a file that is %s gives what comes before, then where it breaks",
    async (_, change, count, message) => {
      await writeFile(file, change(asPython(three)));
      const { parts, error } = await collect();
      expect(parts).toHaveLength(count);
      expect(error).toBeInstanceOf(DataFormatError);
      expect(String(error)).toMatch(message);
      expect(String(error)).toContain(file);
    },
  );

  it("stops at a bad record in the middle, with its position, byte and field", async () => {
    const [first, , third] = three;
    for (const [bad, message] of [
      ['{"question_id": "q2", nonsense}', "at 1: is not valid JSON"],
      [JSON.stringify(recordOf("q2", { question_type: "two-session" })), "at 1.question_type"],
      [
        JSON.stringify(recordOf("q2", { haystack_dates: [] })),
        "at 1.haystack_dates: has 0 entries for 1 sessions of haystack_sessions",
      ],
      [JSON.stringify(recordOf("q1")), "at 1.question_id: is the id of record 0 as well"],
    ] as const) {
      await writeFile(file, `[${JSON.stringify(first)}, ${bad}, ${JSON.stringify(third)}]`);
      const { parts, error } = await collect();
      expect(idsOf(parts)).toEqual(["q1"]);
      expect(error).toBeInstanceOf(DataFormatError);
      expect(String(error)).toContain(message);
      const byte = Buffer.byteLength(JSON.stringify(first)) + 3;
      expect(String(error)).toContain(`(in the record at byte ${byte})`);
    }
  });

  it("refuses a number that JavaScript cannot hold instead of reading it as null", async () => {
    await writeFile(
      file,
      JSON.stringify([recordOf("q1", { answer: 5 })]).replace(":5,", ":1e999,"),
    );
    expect(String((await collect()).error)).toMatch(/at 0\.answer: /);
  });

  it("stops at bytes that are no UTF-8", async () => {
    const bytes = Buffer.from(JSON.stringify([recordOf("q1", { answer: "XX" })]));
    bytes[bytes.indexOf("XX")] = 0xe9;
    await writeFile(file, bytes);
    expect(String((await collect()).error)).toMatch(/at 0: holds bytes that are no UTF-8/);
  });

  it("says of a file of another size at once, and of another checksum at the end, that it is not the release", async () => {
    const text = asPython(three);
    await writeFile(file, text);
    const release = { name: "x.json", url: "https://example.org/x.json", sizeBytes: text.length };
    expect((await collect({ ...release, sha256: sha256Of(text) })).error).toBeUndefined();
    expect((await collect(release)).error).toBeUndefined();

    const other = await collect({ ...release, sha256: "0".repeat(64) });
    expect(other.parts).toHaveLength(3);
    expect(other.error).toBeInstanceOf(DataIntegrityError);
    expect(String(other.error)).toContain(`sha256 is ${sha256Of(text)}, expected 000`);
    expect(String(other.error)).toContain("get the official file from https://example.org/x.json");

    const short = await collect({ ...release, sizeBytes: text.length + 1 });
    expect(short.parts).toEqual([]);
    expect(String(short.error)).toContain(
      `the file is cut off or another one (${text.length} of ${text.length + 1} bytes)`,
    );
    const long = await collect({ ...release, sizeBytes: text.length - 1 });
    expect(String(long.error)).toContain("the file is another one");
  });

  it("says what to do where there is no file, or a folder", async () => {
    const missing = (await collect()).error;
    expect(missing).toBeInstanceOf(ConfigError);
    expect(String(missing)).toMatch(/cannot be read: .*ENOENT/);
    file = folder;
    expect(String((await collect()).error)).toMatch(/cannot be read: .*EISDIR/);
  });

  it("can be left in the middle", async () => {
    await writeFile(file, asPython(three));
    for await (const { questions } of readLongMemEval({ file })) {
      expect(questions[0]?.id).toBe("q1");
      break;
    }
    await rm(file);
  });
});

describe("verifyLongMemEval", () => {
  it("finds every fault of every record in one pass", async () => {
    const noContent = [[{ role: "user" }, { role: "system", content: "x" }]];
    const bad = [
      '{"question_id": "q0", }',
      JSON.stringify(recordOf("q1")),
      JSON.stringify(recordOf("q2", { haystack_sessions: noContent, question: 5 })),
      '{"question_id": "q3", "question_id": "q4"}',
      JSON.stringify(recordOf("q1")),
    ];
    await writeFile(file, `[${bad.join(",")}]`);
    const third = Buffer.byteLength(`[${bad[0]},${bad[1]},`);
    const faults = await verifyLongMemEval({ file });
    expect(faults.map(({ field, problem }) => `${field}: ${problem}`)).toEqual([
      expect.stringMatching(/^0: is not valid JSON: .* \(in the record at byte 1\)$/),
      `2.question: is a number, must be text (in the record at byte ${third})`,
      `2.haystack_sessions.0.0.content: is missing (in the record at byte ${third})`,
      expect.stringMatching(/^2\.haystack_sessions\.0\.1\.role: /),
      expect.stringMatching(/^3\b.*: stands twice in one object/),
      expect.stringMatching(/^4\.question_id: is the id of record 1 as well/),
    ]);
    for (const fault of faults) {
      expect(fault.file).toBe(file);
      expect(fault.fix).not.toBe("");
      expect(fault).not.toHaveProperty("line");
    }
  });

  it("tells where the list breaks after the faults before it, and that the rest was not read", async () => {
    await writeFile(file, `[${JSON.stringify(recordOf("q1", { answer_session_ids: 1 }))}, 5]`);
    expect(await verifyLongMemEval({ file })).toMatchObject([
      { field: "0.answer_session_ids" },
      {
        field: "1",
        problem: expect.stringMatching(
          /^is no object: it begins with "5" \(at byte \d+\); nothing after it could be read$/,
        ),
      },
    ]);
  });

  it("checks the release, and finds a sound file sound", async () => {
    const text = asPython(three);
    await writeFile(file, text);
    expect(await verifyLongMemEval({ file })).toEqual([]);
    const release = { name: "x.json", url: "https://example.org/x.json" };
    expect(await verifyLongMemEval({ file, release })).toEqual([]);
    const sha256 = sha256Of(text);
    expect(await verifyLongMemEval({ file, release: { ...release, sha256 } })).toEqual([]);
    expect(
      await verifyLongMemEval({
        file,
        release: { ...release, sha256: "0".repeat(64), sizeBytes: 5 },
      }),
    ).toEqual([
      {
        file,
        field: "",
        value: `sha256 ${sha256}, ${text.length} bytes`,
        problem: `is not the official file (sha256 ${"0".repeat(64)}, 5 bytes)`,
        fix: "get the official file from https://example.org/x.json",
      },
    ]);
    file = join(folder, "gone.json");
    await expect(verifyLongMemEval({ file })).rejects.toThrow(ConfigError);
  });
});
