import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadLocomoMini } from "@memory-r1/datasets";
import {
  chatCompletion,
  type JsonServer,
  type Reaction,
  type SeenRequest,
  startJsonServer,
} from "@memory-r1/models/testing";
import { parseJson } from "@memory-r1/spec";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { z } from "zod";
import { createScriptedShell, type ScriptedShell } from "../__fixtures__/scripted-shell.ts";
import { resolveExperiment } from "../experiment.ts";
import { auditJudge } from "../judging/audit-judge.ts";
import { judgeFile } from "../judging/judge-file.ts";
import { judgeRun } from "../judging/judge-run.ts";
import { type JudgedLine, judgedLineSchema } from "../judging/verdict.ts";
import { tinyExperiment } from "../pipeline/__fixtures__/tiny-experiment.ts";
import { jsonLines } from "../pipeline/json-lines.ts";
import { writeRunConfig } from "../pipeline/run-config.ts";
import type { Shell } from "../shell.ts";
import { createJudgeAuditHandler, type JudgeAuditRequest } from "./judge-audit.ts";
import { createJudgeHandler, type JudgeCommandRequest } from "./judge.ts";

let folder: string;
let shell: ScriptedShell;
let server: JsonServer | undefined;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "memory-r1-judge-command-"));
  shell = createScriptedShell(folder);
});
afterEach(async () => {
  await server?.close();
  server = undefined;
  await rm(folder, { recursive: true, force: true });
});

const pipeline = { judgeFile, judgeRun, auditJudge };
const flags = {
  judge: "mem0-j",
  model: "some/judge",
  concurrency: 4,
  unconstrained: false,
  json: false,
  verbose: false,
} as const;

/** What a judge is shown. */
interface Shown {
  readonly question: string;
  readonly gold: string;
  readonly prediction: string;
}

function shownIn({ body }: SeenRequest): Shown {
  const [message] = z.array(z.object({ content: z.string() })).parse(body.messages);
  const part = (name: string): string =>
    new RegExp(`^${name}: (.*)$`, "m").exec(message?.content ?? "")?.[1] ?? "";
  return {
    question: part("Question"),
    gold: part("Reference answer"),
    prediction: part("Answer of the system"),
  };
}

const label = (isCorrect: boolean): Reaction =>
  chatCompletion(JSON.stringify({ label: isCorrect ? "CORRECT" : "WRONG" }));

/** A judge behind a server: right is what holds the gold answer, whatever its case. */
const holdsGold = (request: SeenRequest): Reaction => {
  const { gold, prediction } = shownIn(request);
  return label(prediction.toLowerCase().includes(gold.toLowerCase()));
};

async function serve(handle: (request: SeenRequest, index: number) => Reaction = holdsGold) {
  server = await startJsonServer(handle);
  return server;
}

const readJudged = (file: string): Promise<JudgedLine[]> =>
  jsonLines(join(folder, file), judgedLineSchema).read();

const predictions = [
  '{"id": "a", "question": "What does Ana drink?", "answer": "tea", "prediction": "Green tea", "category": 4}',
  '{"id": "b", "question": "What does Ben drink?", "answer": "milk", "prediction": "tea", "category": 4}',
  '{"id": "c", "question": "When was it?", "answer": 2022, "prediction": "In 2022", "category": 2}',
  '{"id": "d", "question": "Who else?", "prediction": "Not mentioned", "category": 5, "answerable": false}',
];

async function judge(more: Partial<JudgeCommandRequest> = {}, inShell: Shell = shell) {
  return createJudgeHandler(
    inShell,
    pipeline,
  )({
    ...flags,
    runs: 1,
    predictions: "p.jsonl",
    out: "v.jsonl",
    ...(server === undefined ? {} : { endpoint: server.url }),
    ...more,
  });
}

describe("judge --predictions", () => {
  beforeEach(() => writeFile(join(folder, "p.jsonl"), `${predictions.join("\n")}\n`));

  it("judges a file through a server, and sums up on stderr", async () => {
    const { seen } = await serve();
    expect(await judge()).toBe(0);
    expect((await readJudged("v.jsonl")).map(({ id, score }) => [id, score])).toEqual([
      ["a", 1],
      ["b", 0],
      ["c", 1],
      ["d", null],
    ]);
    expect(shell.out()).toBe("");
    const lines = shell.err().split("\n");
    expect(lines[0]).toBe("mem0-j by some/judge");
    // statsmodels 0.15.0: 2 of 3 is 0.208 to 0.939.
    expect(lines.find((line) => line.startsWith("all "))).toMatch(
      /^all +0\.667 +0\.208 to 0\.939 +3 +1$/,
    );
    expect(lines.find((line) => line.startsWith("4 "))).toMatch(/^4 +0\.500 .* 2 +0$/);
    expect(lines.find((line) => line.startsWith("unanswerable "))).toMatch(
      /^unanswerable +1\.000 +1\.000 +1 +0$/,
    );
    // Always refusing: 1 of the 4 that were graded.
    expect(lines.find((line) => line.startsWith("both "))).toMatch(/^both +0\.750 +0\.250 +4 +0$/);
    expect(seen).toHaveLength(3);
    expect(seen[0]?.body).toMatchObject({
      model: "some/judge",
      temperature: 0,
      seed: 0,
      response_format: { type: "json_schema" },
    });
    expect(seen[0]?.authorization).toBeUndefined();
  });

  it("sends the endpoint's own token, and never Hugging Face's", async () => {
    const { seen } = await serve();
    const environment = { ...shell.environment, huggingFaceToken: "hf", endpointToken: "mine" };
    await judge({}, { ...shell, environment });
    expect(seen[0]?.authorization).toBe("Bearer mine");
    server = undefined;
  });

  it("judges the verdicts of another judge, and brings other fields back", async () => {
    await serve();
    await writeFile(
      join(folder, "p.jsonl"),
      '{"question": "?", "answer": "tea", "prediction": "tea", "contextIds": ["D1:2"]}\n',
    );
    await judge();
    expect(await judge({ judge: "dmr", predictions: "v.jsonl", out: "w.jsonl" })).toBe(0);
    expect(shell.err()).toContain("other fields come back as they are: contextIds\n");
    const [line] = await readJudged("w.jsonl");
    expect(line).toMatchObject({ contextIds: ["D1:2"], verdicts: [{ judge: "dmr" }] });
    expect(line?.verdicts).toHaveLength(1);
  });

  it("writes the summary as JSON to stdout and nothing else", async () => {
    await serve();
    await judge({ json: true });
    const schema = z.object({ mean: z.number(), graded: z.number(), malformed: z.number() });
    const summary = parseJson(shell.out(), schema, "stdout");
    expect(summary).toMatchObject({ graded: 3, malformed: 0 });
    expect(summary.mean).toBeCloseTo(2 / 3, 12);
  });

  it("exits 1 where lines are malformed, and judges the others", async () => {
    await serve();
    await writeFile(join(folder, "p.jsonl"), ["{", ...predictions, '{"question": 1}'].join("\n"));
    expect(await judge()).toBe(1);
    expect(shell.err()).toContain("2 malformed lines were left out (lines 1, 6)");
    expect(shell.err()).toContain(`warning: ${join(folder, "p.jsonl")}:1: not valid JSON`);
    expect((await readJudged("v.jsonl")).map(({ line, score }) => [line, score])).toEqual([
      [2, 1],
      [3, 0],
      [4, 1],
      [5, null],
    ]);
  });

  it("exits 1 where calls failed, and asks for them alone when given again", async () => {
    let isBroken = true;
    const { seen } = await serve((request) =>
      isBroken && shownIn(request).gold === "milk"
        ? { status: 400, body: { error: "too long" } }
        : holdsGold(request),
    );
    expect(await judge()).toBe(1);
    expect(shell.err()).toContain("1 lines lack a verdict because calls failed");
    expect((await readJudged("v.jsonl"))[1]).toMatchObject({
      score: null,
      reason: expect.stringContaining("HTTP 400"),
      verdicts: [{ attempts: 1 }],
    });
    isBroken = false;
    expect(await judge()).toBe(0);
    // A 400 could mean the form that is asked for: the call is made once more without it.
    expect(seen).toHaveLength(5);
    expect((await readJudged("v.jsonl"))[1]?.score).toBe(0);
  });

  it("keeps what was judged at Ctrl-C, and goes on with the rest", async () => {
    const { seen } = await serve((request, index) => {
      if (index === 1) shell.signals.emit("SIGINT", "SIGINT");
      return index === 1 ? "hang" : holdsGold(request);
    });
    expect(await judge({ concurrency: 1 })).toBe(130);
    expect(shell.err()).toContain("what was judged is kept");
    expect((await readJudged("v.jsonl")).map(({ id }) => id)).toEqual(["a"]);
    expect(await judge({ concurrency: 1 })).toBe(0);
    expect((await readJudged("v.jsonl")).map(({ id }) => id)).toEqual(["a", "b", "c", "d"]);
    expect(seen.map((request) => shownIn(request).gold)).toEqual(["tea", "milk", "milk", "2022"]);
  });

  it("judges in several runs and gives J as mean ± deviation", async () => {
    // The judge changes its mind about Ben's tea in its second run: J is 2/3 and 1.
    await serve((request) => (request.body.seed === 1 ? label(true) : holdsGold(request)));
    expect(await judge({ runs: 2 })).toBe(0);
    expect(shell.err()).toContain("J over 2 runs: 0.833 ± 0.236");
    expect((await readJudged("v.jsonl"))[1]?.score).toBe(0.5);
  });

  it("asks LongMemEval's judge by type, abstention included", async () => {
    const { seen } = await serve(() => chatCompletion("Yes."));
    await writeFile(
      join(folder, "p.jsonl"),
      [
        '{"id": "t1", "question": "How many days?", "answer": "18", "prediction": "19", "type": "temporal-reasoning"}',
        '{"id": "t2_abs", "question": "How many?", "answer": "Nothing is known", "prediction": "I cannot say", "type": "multi-session"}',
        '{"id": "t3", "question": "?", "answer": "x", "prediction": "y", "type": "multi-hop"}',
      ].join("\n"),
    );
    expect(await judge({ judge: "longmemeval", concurrency: 1 })).toBe(0);
    const lines = await readJudged("v.jsonl");
    expect(lines.map(({ verdicts }) => verdicts[0]?.prompt)).toEqual([
      "judge-longmemeval-temporal-reasoning",
      "judge-longmemeval-abstention",
      undefined,
    ]);
    expect(lines[2]?.reason).toContain('LongMemEval has no type "multi-hop"');
    expect(seen[0]?.body).toMatchObject({ max_tokens: 10 });
    expect(seen[0]?.body).not.toHaveProperty("response_format");
  });

  it.each<[string, Partial<JudgeCommandRequest>, string]>([
    ["verdicts over predictions", { out: "p.jsonl" }, "cannot be written to as well"],
    ["a file that is not there", { predictions: "none.jsonl" }, "none.jsonl cannot be read"],
    ["a hub's model without a token", {}, "set HF_TOKEN"],
    [
      "a model of the engine that cannot start",
      { model: "smollm2-135m-instruct" },
      "no-such-python",
    ],
    ["an arm without a run", { arm: ["rag"] }, "--arm goes with a run"],
    ["a run and a file", { run: "demo-1" }, "leave out --predictions and --out"],
  ])("exits 2 for %s", async (_, more, message) => {
    const environment = { ...shell.environment, pythonPath: join(folder, "no-such-python") };
    expect(await judge(more, { ...shell, environment })).toBe(2);
    expect(shell.err()).toContain(message);
  });
});

describe("judge <run-id>", () => {
  const run = join("runs", "tiny-1");

  /** A run on the mini set that has answered a few questions by one arm. */
  async function makeRun(more: { readonly adversarial?: string } = {}): Promise<void> {
    const dataset = await loadLocomoMini();
    const runDirectory = join(folder, run);
    const experiment = resolveExperiment(tinyExperiment);
    await writeRunConfig(runDirectory, {
      schemaVersion: 1,
      runId: "tiny-1",
      command: "",
      startedAt: "2025-01-02T03:04:05Z",
      code: { commit: null, dirty: false },
      datasetSha256: dataset.sha256,
      resumed: [],
      experiment,
    });
    const [first, second, third] = dataset.questions.filter(({ gold }) => gold !== undefined);
    await mkdir(join(runDirectory, "predictions"));
    const records = [
      {
        questionId: first?.id,
        memories: [],
        outcome: { status: "answered", answer: first?.gold, raw: "" },
      },
      {
        questionId: second?.id,
        memories: [],
        outcome: { status: "unparsable", reason: "empty", raw: "" },
      },
      { questionId: third?.id, memories: [], outcome: { status: "failed", reason: "HTTP 500" } },
      ...(more.adversarial === undefined
        ? []
        : [
            {
              questionId: dataset.questions.find(({ answerable }) => !answerable)?.id,
              memories: [],
              outcome: { status: "answered", answer: more.adversarial, raw: "" },
            },
          ]),
    ];
    await writeFile(
      join(runDirectory, "predictions", "rag.jsonl"),
      records.map((record) => `${JSON.stringify(record)}\n`).join(""),
    );
  }

  const judgeTiny = (more: Partial<JudgeCommandRequest> = {}) => {
    const {
      predictions: _predictions,
      out: _out,
      ...request
    } = {
      ...flags,
      runs: 1,
      predictions: "",
      out: "",
      run: "tiny-1",
      ...(server === undefined ? {} : { endpoint: server.url }),
      ...more,
    };
    return createJudgeHandler(shell, pipeline)(request);
  };

  it("judges its predictions into its folder: no answer is wrong, no call is ungraded", async () => {
    const { seen } = await serve();
    await makeRun();
    expect(await judgeTiny()).toBe(0);
    const file = join(run, "verdicts", "mem0-j--some-judge", "rag.jsonl");
    const lines = await readJudged(file);
    expect(lines.map(({ score, reason }) => [score, reason])).toEqual([
      [1, undefined],
      [0, "no answer: empty"],
      [null, "no prediction: HTTP 500"],
    ]);
    expect(lines[0]?.category).toBe("4");
    expect(seen).toHaveLength(1);
    expect(shell.err()).toMatch(/^test +rag +0\.500 +0\.095 to 0\.905 +2 +1$/m);
    expect(shell.err()).toContain("arm memory-r1 has no predictions yet");
    expect(shell.err()).toContain(`verdicts: ${join(folder, file)}`);
  });

  it("keeps what cannot be answered apart, beside always refusing", async () => {
    await serve();
    await makeRun({ adversarial: "It is not mentioned." });
    expect(await judgeTiny()).toBe(0);
    expect(shell.err()).toMatch(/^test +rag +0\.500 +0\.095 to 0\.905 +2 +1$/m);
    expect(shell.err()).toMatch(/^rag +unanswerable +1\.000 +1\.000 +1 +0$/m);
    expect(shell.err()).toMatch(/^rag +both +0\.667 +0\.333 +3 +1$/m);
  });

  it("says which arms there are, and where a run has nothing to judge", async () => {
    await serve();
    await makeRun();
    expect(await judgeTiny({ arm: ["rga"] })).toBe(2);
    expect(shell.err()).toContain('no arm "rga". Arms: rag, memory-r1, oracle.');
    expect(await judgeTiny({ arm: ["oracle"] })).toBe(2);
    expect(shell.err()).toContain("has no predictions to judge");
    expect(await judgeTiny({ run: "tiny-2" })).toBe(2);
    expect(shell.err()).toContain("There is no run tiny-2");
  });

  it("refuses a run of another state of the data", async () => {
    await serve();
    await makeRun();
    const file = join(folder, run, "config.json");
    const text = await readFile(file, "utf8");
    await writeFile(file, text.replace(/"datasetSha256": "[0-9a-f]+"/, '"datasetSha256": "0"'));
    expect(await judgeTiny()).toBe(2);
    expect(shell.err()).toContain("the run was started with 0");
  });
});

describe("judge-audit", () => {
  const audit = (more: Partial<JudgeAuditRequest> = {}) =>
    createJudgeAuditHandler(
      shell,
      pipeline,
    )({
      ...flags,
      sample: 12,
      seed: 3,
      out: "audit.jsonl",
      ...(server === undefined ? {} : { endpoint: server.url }),
      ...more,
    });

  const acceptance = z.object({ accepted: z.number(), graded: z.number() });
  const schema = z.object({
    planted: z
      .object({
        kinds: z.object({
          gold: acceptance,
          "rephrased-gold": acceptance,
          vague: acceptance,
          "other-gold": acceptance,
          "changed-detail": acceptance,
        }),
        specificWrong: acceptance,
      })
      .optional(),
    agreement: z
      .object({
        confusion: z.record(z.string(), z.number()),
        accuracy: z.number(),
        kappa: z.number().optional(),
      })
      .optional(),
  });
  const summary = () => parseJson(shell.out(), schema, "stdout");

  it("finds a judge that knows the answer to be one", async () => {
    await serve((request) => {
      const { gold, prediction } = shownIn(request);
      const bare = (text: string): string =>
        text.toLowerCase().replaceAll(/[.,']|\b(?:a|an|the) /g, "");
      return label(bare(prediction) === bare(gold));
    });
    expect(await audit({ dataset: "locomo-mini", json: true })).toBe(0);
    const { planted } = summary();
    expect(planted?.kinds.gold).toEqual({ accepted: 12, graded: 12 });
    expect(planted?.kinds["rephrased-gold"]).toEqual({ accepted: 12, graded: 12 });
    expect(planted?.kinds.vague).toMatchObject({ accepted: 0 });
    expect(planted?.specificWrong).toMatchObject({ accepted: 0 });
    expect(planted?.specificWrong.graded).toBeGreaterThan(12);
  });

  it("sees through judges that always say the same", async () => {
    await serve(() => label(true));
    await audit({ dataset: "locomo-mini", json: true });
    const { planted } = summary();
    expect(planted?.kinds.vague.accepted).toBe(planted?.kinds.vague.graded);
    expect(planted?.kinds.vague.graded).toBeGreaterThan(0);
    await server?.close();
    shell = createScriptedShell(folder);
    await serve(() => label(false));
    await audit({ dataset: "locomo-mini", json: true, out: "never.jsonl" });
    expect(summary().planted?.kinds.gold).toEqual({ accepted: 0, graded: 12 });
  });

  it("finds the lenient judge: all that stays on topic passes", async () => {
    await serve((request) => {
      const { question, prediction } = shownIn(request);
      const words = (text: string): string[] => text.toLowerCase().match(/[a-z]{4,}/g) ?? [];
      const asked = new Set(words(question));
      return label(words(prediction).some((word) => asked.has(word)));
    });
    await audit({ dataset: "locomo-mini", json: true });
    const kinds = summary().planted?.kinds;
    expect(kinds?.vague.accepted).toBe(kinds?.vague.graded);
    expect(kinds?.["changed-detail"].accepted).toBe(0);
  });

  it("measures agreement with labels, and prints tables to stdout", async () => {
    await serve();
    const labelled = [
      'correct", "prediction": "Tea',
      'correct", "prediction": "a hot drink',
      'wrong", "prediction": "no tea',
      'wrong", "prediction": "milk',
    ].map((part) => `{"question": "What does Ana drink?", "answer": "tea", "label": "${part}"}`);
    await writeFile(
      join(folder, "labels.jsonl"),
      [...labelled, '{"question": "?", "answer": "tea", "prediction": "tea"}'].join("\n"),
    );
    expect(await audit({ labels: "labels.jsonl" })).toBe(1);
    expect(shell.err()).toContain("labels.jsonl:5: no label");
    // 1 of each: accuracy 2/4, chance 1/2, kappa 0.
    expect(shell.out()).toMatch(/^ +0\.500 +0\.150 to 0\.850 +0\.000 +1 +1 +1 +1 +0$/m);
    expect(shell.out()).not.toContain("planted answers");
  });

  it("goes on with the same audit and refuses to mix in another", async () => {
    const { seen } = await serve();
    await audit({ dataset: "locomo-mini" });
    const asked = seen.length;
    expect(await audit({ dataset: "locomo-mini" })).toBe(0);
    expect(seen).toHaveLength(asked);
    expect(await audit({ dataset: "locomo-mini", judge: "dmr" })).toBe(2);
    expect(shell.err()).toContain("verdicts of the judge mem0-j");
  });

  it("exits 2 where there is nothing to measure by", async () => {
    await serve();
    expect(await audit()).toBe(2);
    expect(shell.err()).toContain("--labels FILE, --dataset NAME, or both");
    expect(await audit({ dataset: "lokomo" })).toBe(2);
    expect(shell.err()).toContain('no data set "lokomo"');
    await writeFile(join(folder, "labels.jsonl"), predictions.join("\n"));
    expect(await audit({ labels: "labels.jsonl" })).toBe(2);
    expect(shell.err()).toContain("no line has a label");
  });
});
