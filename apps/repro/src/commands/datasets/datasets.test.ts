import { existsSync } from "node:fs";
import { mkdir, mkdtemp, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { datasets } from "@memory-r1/datasets";
import { parseJson } from "@memory-r1/spec";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { z } from "zod";
import { createScriptedShell, type ScriptedShell } from "../../__fixtures__/scripted-shell.ts";
import { createDatasetsGetHandler } from "./get.ts";
import { createDatasetsListHandler } from "./list.ts";
import { createDatasetsShowHandler } from "./show.ts";
import { createDatasetsStatsHandler } from "./stats.ts";
import { createDatasetsVerifyHandler } from "./verify.ts";

let folder: string;
let shell: ScriptedShell;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "memory-r1-datasets-"));
  shell = createScriptedShell(folder);
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const json = (): unknown => parseJson(shell.out(), z.unknown(), "stdout");
const records = z.array(z.looseObject({ name: z.string() }));

/** Puts the user's own data into `mine` in the folder where the user is. */
async function writeOwn(conversations: string, questions: string): Promise<void> {
  await mkdir(join(folder, "mine"), { recursive: true });
  await writeFile(join(folder, "mine", "conversations.jsonl"), conversations);
  await writeFile(join(folder, "mine", "questions.jsonl"), questions);
}
const ownConversation =
  '{"id":"one","sessions":[{"date":"2024-05-01","turns":[{"speaker":"Ann","text":"Hi \\u001b[31mred"}]}]}\n';

describe("datasets list", () => {
  it("shows every registered data set, and which files are here", async () => {
    expect(await createDatasetsListHandler(shell)({ json: false })).toBe(0);
    for (const name of Object.keys(datasets)) expect(shell.out()).toContain(`\n${name} `);
    expect(shell.out()).toMatch(/\nlocomo +LoCoMo: .* CC BY-NC 4\.0 .* no\n/);
    expect(shell.out()).toMatch(/\nlocomo +locomo10\.json +2\.8 MB +79fa87e90f04… +https:/);
  });

  it("gives licence, address, size, checksum and path as JSON", async () => {
    await mkdir(join(folder, "data", "locomo"), { recursive: true });
    const path = join(folder, "data", "locomo", "locomo10.json");
    await writeFile(path, "[]");
    expect(await createDatasetsListHandler(shell)({ json: true, dataDir: "data" })).toBe(0);
    const listed = records.parse(json());
    expect(listed.map(({ name }) => name)).toEqual(Object.keys(datasets));
    expect(listed[0]).toMatchObject({
      name: "locomo",
      licence: expect.stringContaining("CC BY-NC"),
      homepage: expect.stringMatching(/^https:/),
      files: [
        {
          name: "locomo10.json",
          url: expect.stringMatching(/^https:/),
          sizeBytes: 2_805_274,
          sha256: expect.stringMatching(/^79fa87e90f04/),
          path,
        },
      ],
    });
  });

  it("refuses a folder that is not there", async () => {
    expect(await createDatasetsListHandler(shell)({ json: true, dataDir: "dta" })).toBe(2);
    expect(shell.out()).toBe("");
    expect(shell.err()).toContain("dta does not exist");
  });
});

describe("datasets get", () => {
  /** A file of LoCoMo's size at a path. */
  async function writeSized(path: string, sizeBytes = 2_805_274): Promise<void> {
    await mkdir(join(path, ".."), { recursive: true });
    await writeFile(path, "");
    await truncate(path, sizeBytes);
  }
  const cached = () =>
    join(shell.environment.cacheDirectory, "datasets", "79fa87e90f04-locomo10.json");

  it("says where a file lies that is here, and asks nobody", async () => {
    await writeSized(cached());
    expect(await createDatasetsGetHandler(shell)({ dataset: "locomo", json: false })).toBe(0);
    expect(shell.out()).toBe(`${cached()}\n`);
  });

  it.each(["locomo10.json", join("locomo", "locomo10.json")])(
    "looks into the folder that it is to fill: %s",
    async (name) => {
      const path = join(folder, "data", name);
      await writeSized(path);
      const request = { dataset: "locomo", json: true, dataDir: "data" };
      expect(await createDatasetsGetHandler(shell)(request)).toBe(0);
      expect(json()).toEqual({ dataset: "locomo", files: [{ name: "locomo10.json", path }] });
    },
  );

  it("does not take a file for the published one that has another size", async () => {
    await writeSized(cached(), 5);
    expect(await createDatasetsGetHandler(shell)({ dataset: "locomo", json: false })).toBe(2);
    expect(shell.out()).toBe("");
    expect(shell.err()).toContain("has 5 bytes, the published file has 2805274");
  });

  it("has nothing to get of sets that are embedded or the user's", async () => {
    for (const dataset of ["locomo-mini", "jsonl"])
      expect(await createDatasetsGetHandler(shell)({ dataset, json: false })).toBe(2);
    expect(shell.err()).toContain("nothing to get for the data set locomo-mini");
    expect(shell.err()).toContain("that of your files");
  });

  it("names the data sets where one is mistyped", async () => {
    expect(await createDatasetsGetHandler(shell)({ dataset: "lokomo", json: false })).toBe(2);
    expect(shell.err()).toContain('There is no data set "lokomo". Known: locomo, ');
    expect(existsSync(shell.environment.cacheDirectory)).toBe(false);
  });
});

describe("datasets verify", () => {
  it("ends with 0 and says so where a set is sound", async () => {
    const verify = createDatasetsVerifyHandler(shell);
    expect(await verify({ dataset: "jsonl-mini", json: false })).toBe(0);
    expect(shell.out()).toBe("jsonl-mini: sound\n");
  });

  it("lists every fault with place, value and fix, and ends with 2", async () => {
    await writeOwn(ownConversation, '{"conversationId":"two","text":"?","answr":1}\n{"id":1}\n');
    const request = { dataset: "jsonl", dataDir: "mine", json: false };
    expect(await createDatasetsVerifyHandler(shell)(request)).toBe(2);
    const file = join(folder, "mine", "questions.jsonl");
    expect(shell.out()).toBe(
      [
        `${file}:1 at answr: is no key of this format`,
        "  found: 1",
        '  fix: did you mean "answer"?',
        "",
        `${file}:2 at id: is a number, must be text`,
        "  found: 1",
        "  fix: write text",
        "",
        `${file}:2 at conversationId: is missing`,
        "  fix: add it: text",
        "",
        `${file}:2 at text: is missing`,
        "  fix: add it: text",
        "",
        "jsonl: 4 faults",
        "",
      ].join("\n"),
    );
  });

  it("gives the faults as JSON", async () => {
    await writeOwn(ownConversation, '{"conversationId":"two","text":"?"}\n');
    const request = { dataset: "jsonl", dataDir: "mine", json: true };
    expect(await createDatasetsVerifyHandler(shell)(request)).toBe(2);
    expect(json()).toEqual({
      dataset: "jsonl",
      sound: false,
      faults: [
        {
          file: join(folder, "mine", "questions.jsonl"),
          line: 1,
          field: "conversationId",
          value: '"two"',
          problem: "is the id of no conversation",
          fix: "use one of them: one",
        },
      ],
    });
  });

  it("downloads nothing: a set that is not here is an error with the way to get it", async () => {
    expect(await createDatasetsVerifyHandler(shell)({ dataset: "locomo", json: false })).toBe(2);
    expect(shell.err()).toContain("repro datasets get");
  });
});

describe("datasets stats", () => {
  it("counts the mini set", async () => {
    const stats = createDatasetsStatsHandler(shell);
    expect(await stats({ dataset: "locomo-mini", json: true })).toBe(0);
    expect(json()).toMatchObject({
      dataset: "locomo-mini",
      sha256: expect.stringMatching(/^[0-9a-f]{64}$/),
      statistics: { conversations: 3, sessions: 16, questions: 75 },
      splits: { "memory-r1": { train: { questions: 22, adversarialQuestions: 3 } } },
    });
  });

  it("lays the counts out in tables, with categories under every naming and the notes", async () => {
    const stats = createDatasetsStatsHandler(shell);
    expect(await stats({ dataset: "locomo-mini", json: false })).toBe(0);
    const out = shell.out();
    expect(out).toMatch(/\nconversations +3\n/);
    expect(out).toMatch(/\nCode +official +mem0 +memorybench +Questions/);
    expect(out).toMatch(/\n1 +multi-hop +single-hop +single-hop +\d+/);
    expect(out).toMatch(/\nSplit memory-r1\n/);
    expect(out).toContain("the answer is a number, read as text");
  });

  it("shows what a data set says, and lets none of it act on the terminal", async () => {
    const disordered = ownConversation.replace('"2024-05-01"', '"2024-05-02T10:00"');
    const twice = disordered.replace(
      /\[(\{"date".*\})\]\}/,
      (_, session: string) =>
        `[${session},${session.replace('"2024-05-02T10:00"', '"2024-05-01T10:00"').replace("{", '{"id":"\\u001b[2J",')}]}`,
    );
    await writeOwn(twice, '{"conversationId":"one","text":"?","answer":"a"}\n');
    const stats = createDatasetsStatsHandler(shell);
    expect(await stats({ dataset: "jsonl", dataDir: "mine", json: false })).toBe(0);
    expect(shell.out()).toContain("one: \\u001b[2J (2024-05-01T10:00) stands after session_1");
    expect(shell.out()).not.toContain("\u001b");
  });
});

describe("datasets show", () => {
  it("shows gold, category under every naming, trap and evidence with dates", async () => {
    const show = createDatasetsShowHandler(shell);
    expect(await show({ question: "mini-1/qa-2", dataset: "locomo-mini", json: false })).toBe(0);
    expect(shell.out()).toMatch(/^question: +What are the names of Tomas's dogs\?\n/);
    expect(shell.out()).toMatch(/\ngold: +Pixel, Biscuit\n/);
    expect(shell.out()).toMatch(
      /\ncategory: +1, official: multi-hop, mem0: single-hop, memorybench: single-hop\n/,
    );
    expect(shell.out()).toMatch(
      /\nevidence: +D1:5, 6:10 pm on 14 January, 2023, Tomas: I would love a loaf\./,
    );
    expect(shell.out()).toMatch(/\nevidence: +D4:4, /);
  });

  it("searches all data sets that are here, and gives JSON", async () => {
    const show = createDatasetsShowHandler(shell);
    expect(await show({ question: "cycling/qa-4", json: true })).toBe(0);
    expect(json()).toMatchObject({
      dataset: "jsonl-mini",
      question: { id: "cycling/qa-4", gold: "in Zürich", category: { code: "several" } },
      evidence: [
        { id: "c5", speaker: "Sam", sessionId: "october", dateText: "2023-10-22T16:00" },
        { id: "c7" },
      ],
      evidenceSessions: [{ id: "october", dateText: "2023-10-22T16:00" }],
    });
  });

  it("escapes control characters of the text", async () => {
    await writeOwn(
      ownConversation,
      '{"conversationId":"one","text":"What?\\nReally?","answer":"a","evidenceTurnIds":["D1:1"]}\n',
    );
    const request = { question: "one/qa-1", dataset: "jsonl", dataDir: "mine", json: false };
    expect(await createDatasetsShowHandler(shell)(request)).toBe(0);
    expect(shell.out()).toContain("What?\\u000aReally?");
    expect(shell.out()).toContain("Ann: Hi \\u001b[31mred");
  });

  it("says where it looked for a question that it did not find, and what it could not read", async () => {
    expect(await createDatasetsShowHandler(shell)({ question: "nope", json: false })).toBe(2);
    expect(shell.err()).toMatch(/No question has the id "nope"\. Searched: .*locomo-mini/);
    expect(shell.err()).toMatch(/Not here, or not readable: locomo, /);
    const missing = { question: "nope", dataset: "locomo", json: false };
    expect(await createDatasetsShowHandler(shell)(missing)).toBe(2);
    expect(shell.err()).toContain("locomo10.json");
  });
});
