import { lstat, mkdir, readdir, readFile, readlink, symlink, writeFile } from "node:fs/promises";
import { parseJson } from "@memory-r1/spec";
import { beforeEach, describe, expect, it } from "vitest";
import { z } from "zod";
import { createScriptedShell, type ScriptedShell } from "../__fixtures__/scripted-shell.ts";
import { useTemporaryFolder } from "../pipeline/__fixtures__/temporary-folder.ts";
import { createScoreHandler, type ScoreRequest } from "./score.ts";

const pathOf = useTemporaryFolder();
let shell: ScriptedShell;
beforeEach(() => {
  shell = createScriptedShell(pathOf("."));
});

const score = (request: Partial<ScoreRequest>) =>
  createScoreHandler(shell)({
    metric: ["squad-f1"],
    predictions: "in.jsonl",
    out: "out.jsonl",
    json: false,
    ...request,
  });
const write = (...lines: readonly string[]) =>
  writeFile(pathOf("in.jsonl"), `${lines.join("\n")}\n`);
const written = () => readFile(pathOf("out.jsonl"), "utf8");

const tea = '{"prediction":"Green tea","answer":"green tea","category":1}';
const halfTea = '{"id":"b","prediction":"tea","answer":"tea pot","category":2,"latencyMs":1.50}';
const noGold = '{"prediction":"tea","answer":null}';

describe("score", () => {
  it("gives every line back in order with its score, and a summary on stderr", async () => {
    await write(tea, halfTea, noGold);
    expect(await score({})).toBe(0);
    expect(await written()).toBe(
      [
        '{"prediction":"Green tea","answer":"green tea","category":1,"score":1}',
        // One of one word and one of two: 2 * 1 * 0.5 / 1.5.
        '{"id":"b","prediction":"tea","answer":"tea pot","category":2,"latencyMs":1.50,"score":0.6666666666666666}',
        '{"prediction":"tea","answer":null,"score":null,"reason":"no gold answer"}',
        "",
      ].join("\n"),
    );
    expect(shell.out()).toBe("");
    expect(shell.err()).toBe(
      [
        "Metric    Category   Mean   95 % interval  by         Graded  Ungraded",
        "────────  ────────  ─────  ──────────────  ─────────  ──────  ────────",
        "squad-f1  all       0.833  0.667 to 1.000  bootstrap       2         1",
        "squad-f1  1         1.000  0.207 to 1.000  wilson          1         0",
        "squad-f1  2         0.667               –  –               1         0",
        "Note: 3 lines, 0 malformed.",
        "",
      ].join("\n"),
    );
  });

  it("reads standard input and writes standard output, by several metrics", async () => {
    const bytes = new TextEncoder().encode(halfTea);
    shell.pipeIn(bytes.subarray(0, 10), bytes.subarray(10));
    const metric = ["squad-em", "evidence-recall"];
    expect(await score({ metric, predictions: "-", out: "-" })).toBe(0);
    expect(shell.out()).toBe(
      `${halfTea.slice(0, -1)},"scores":{"squad-em":0,"evidence-recall":null},"reasons":{"evidence-recall":"no contextIds"}}\n`,
    );
  });

  it("names malformed lines and loses no other", async () => {
    await write(tea, "{oops", "", '{"prediction":"tea"}', tea);
    expect(await score({})).toBe(1);
    const lines = (await written()).trimEnd().split("\n");
    expect(lines).toHaveLength(4);
    expect(lines[0]).toBe(`${tea.slice(0, -1)},"score":1}`);
    expect(lines[1]).toMatch(/^\{"raw":"\{oops","score":null,"reason":"line 2 is not JSON: /);
    expect(lines[2]).toBe(
      '{"prediction":"tea","score":null,"reason":"line 4, answer is missing: write null where there is none"}',
    );
    expect(lines[3]).toBe(lines[0]);
    expect(shell.err()).toMatch(/^malformed: line 2 is not JSON/);
    expect(shell.err()).toContain("\nmalformed: line 4, answer is missing");
    expect(shell.err()).toContain("4 lines, 2 malformed.");
  });

  it("tells the first twenty malformed lines and the number of the rest", async () => {
    await write(...Array.from({ length: 23 }, () => "x"));
    expect(await score({})).toBe(1);
    expect(shell.err().match(/^malformed: line/gm)).toHaveLength(20);
    expect(shell.err()).toContain("malformed: 3 more lines");
  });

  it("says that it replaces scores, and comes to the same when run on its own output", async () => {
    await write(tea, halfTea, noGold);
    await score({});
    const first = await written();
    expect(shell.err()).not.toContain("replaced");
    await score({ predictions: "out.jsonl" });
    expect(shell.err()).toContain("3 lines had a score already: it is replaced");
    expect((await written()).replace("1.5,", "1.50,")).toBe(first);
  });

  it("gives the summary as JSON", async () => {
    await write(tea);
    await score({ json: true });
    const schema = z.object({ lines: z.number(), rows: z.array(z.looseObject({})) });
    expect(parseJson(shell.err(), schema, "stderr")).toMatchObject({
      lines: 1,
      rows: [
        { metric: "squad-f1", mean: 1, graded: 1, ungraded: 0, interval: { method: "wilson" } },
        { metric: "squad-f1", category: "1" },
      ],
    });
  });

  it("scores a file without lines to a file without lines", async () => {
    await writeFile(pathOf("in.jsonl"), "");
    expect(await score({})).toBe(0);
    expect(await written()).toBe("");
    expect(shell.err()).toContain("squad-f1  all          –");
  });
});

describe("score --metric list", () => {
  it("needs no file, and gives names, descriptions and sources", async () => {
    expect(await createScoreHandler(shell)({ metric: ["list"], json: false })).toBe(0);
    expect(shell.out()).toMatch(/^squad-em +equality after SQuAD.* +SQuAD evaluate-v1\.1\.py$/m);
    expect(shell.out()).toMatch(/^evidence-recall /m);
  });

  it("is JSON where asked", async () => {
    await createScoreHandler(shell)({ metric: ["list"], json: true });
    const schema = z.array(
      z.strictObject({
        name: z.string(),
        description: z.string(),
        source: z.string(),
        compares: z.enum(["answers", "retrieval"]),
      }),
    );
    const list = parseJson(shell.out(), schema, "stdout");
    expect(list.find(({ name }) => name === "locomo-f1")?.compares).toBe("answers");
    expect(list.find(({ name }) => name === "evidence-recall")?.compares).toBe("retrieval");
  });
});

describe("what score refuses", () => {
  it.each<[string, Partial<ScoreRequest>, string]>([
    ["an unknown metric", { metric: ["f2"] }, 'There is no metric "f2". Known: locomo-f1'],
    ["no file", { predictions: "nowhere.jsonl" }, "nowhere.jsonl cannot be read"],
    ["a folder of predictions", { predictions: "." }, "is a folder"],
    ["a folder to write to", { out: "." }, "Name a file, or - for standard output"],
    ["a place that cannot be written to", { out: "in.jsonl/out.jsonl" }, "cannot"],
  ])("%s", async (_what, request, problem) => {
    await write(tea);
    expect(await score(request)).toBe(2);
    expect(shell.err()).toMatch(/^error: /);
    expect(shell.err()).toContain(problem);
    expect(await readdir(pathOf("."))).toEqual(["in.jsonl"]);
  });

  it("a request without predictions", async () => {
    expect(await createScoreHandler(shell)({ metric: ["squad-f1"], json: false })).toBe(2);
    expect(shell.err()).toContain("--predictions, or - for standard input");
  });
});

describe("the file that score writes", () => {
  it("is as it was where the work is interrupted, and nothing is left beside it", async () => {
    await writeFile(pathOf("out.jsonl"), "before");
    await write(...Array.from({ length: 20_000 }, () => tea));
    const scored = score({});
    shell.signals.emit("SIGINT", "SIGINT");
    expect(await scored).toBe(130);
    expect(await written()).toBe("before");
    expect((await readdir(pathOf("."))).toSorted()).toEqual(["in.jsonl", "out.jsonl"]);
    expect(shell.err()).toBe("interrupted\n");
    expect(shell.signals.eventNames()).toEqual([]);
  });

  it("can be the file that is read, and is made with its folder", async () => {
    await write(tea);
    expect(await score({ out: "in.jsonl" })).toBe(0);
    expect(await readFile(pathOf("in.jsonl"), "utf8")).toContain('"score":1');
    expect(await score({ out: "new/folder/out.jsonl" })).toBe(0);
    expect(await readFile(pathOf("new", "folder", "out.jsonl"), "utf8")).toContain('"score":1');
  });

  it.skipIf(process.platform === "win32")("is what a link points to, not the link", async () => {
    await write(tea);
    await mkdir(pathOf("elsewhere"));
    await writeFile(pathOf("elsewhere", "real.jsonl"), "before");
    await symlink(pathOf("elsewhere", "real.jsonl"), pathOf("out.jsonl"));
    expect(await score({})).toBe(0);
    expect(await readlink(pathOf("out.jsonl"))).toBe(pathOf("elsewhere", "real.jsonl"));
    expect(await readFile(pathOf("elsewhere", "real.jsonl"), "utf8")).toContain('"score":1');
  });

  it.skipIf(process.platform === "win32")("can be a device, which stays one", async () => {
    await write(tea);
    expect(await score({ out: "/dev/null" })).toBe(0);
    expect((await lstat("/dev/null")).isCharacterDevice()).toBe(true);
  });
});

it("stops where nobody reads standard output any more", async () => {
  await write(...Array.from({ length: 20_000 }, () => tea));
  shell.closeOut();
  expect(await score({ out: "-" })).toBe(0);
  expect(shell.out()).toBe("");
});
