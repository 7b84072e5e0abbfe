import { ConfigError, type Reranker } from "@memory-r1/spec";
import { describe, expect, it } from "vitest";
import { type ExperimentInput, resolveExperiment } from "../../experiment.ts";
import { evaluateScripted } from "../__fixtures__/scripted-evaluation.ts";
import { createScriptedGenerator } from "../__fixtures__/scripted-generator.ts";
import { useTemporaryFolder } from "../__fixtures__/temporary-folder.ts";

const pathOf = useTemporaryFolder();

type ArmInput = ExperimentInput["evaluation"]["arms"][number];

const memories: Readonly<Record<string, ArmInput["memory"]>> = {
  rag: { kind: "baseline", baseline: "rag-turns" },
  // One that searches and answers by itself, where it may.
  memgpt: { kind: "baseline", baseline: "memgpt-2024" },
  bank: { kind: "bank", manager: "add-everything" },
};

const armOf = (memory: string, name: string, more: Partial<ArmInput> = {}): ArmInput => ({
  name: `${memory}-${name}`,
  system: memory,
  variant: name,
  memory: memories[memory] ?? { kind: "baseline", baseline: memory },
  answer: "untrained",
  ...more,
});

/** The longer, the better; of equally long ones, that of the larger bytes. */
const weigh = (text: string): number =>
  text.length + Buffer.from(text).reduce((sum, byte) => sum + byte, 0) / 1e6;

/** Scores by weight, and notes what it was asked. */
function createWeighingReranker(): Reranker & { readonly asked: (readonly string[])[] } {
  const asked: (readonly string[])[] = [];
  return {
    description: "weight",
    asked,
    score: (_, texts) => {
      asked.push(texts);
      return Promise.resolve(texts.map(weigh));
    },
  };
}

async function run(arms: ArmInput[], reranker: Reranker | undefined, folder: string) {
  const experiment = resolveExperiment({
    name: "reranked",
    description: "Reranked arms on one session",
    dataset: "locomo-mini",
    model: { name: "scripted" },
    answer: { memories: 3 },
    evaluation: { sessions: 1, metrics: ["squad-f1"], mainMetric: "squad-f1", arms },
  });
  const base = createScriptedGenerator(() => "an answer");
  const options = { base, reranker, pathOf, folder };
  const { evaluation, fairness } = await evaluateScripted(experiment, options);
  const shownBy = (name: string) =>
    evaluation.predictions.get(name)?.map((prediction) => prediction.memories);
  return { evaluation, fairness, shownBy };
}

describe("arms that rerank", () => {
  it("show what the reranker likes best of all that a memory stores, in the conversation's order", async () => {
    const reranker = createWeighingReranker();
    const rerank = { candidates: 999, keep: 2 };
    const { evaluation, shownBy, fairness } = await run(
      [armOf("rag", "reranked", { rerank }), armOf("bank", "reranked", { rerank })],
      reranker,
      "all",
    );
    const asked = [...evaluation.questions.validation, ...evaluation.questions.test];
    expect(asked.length).toBeGreaterThan(3);
    const told = new Map(
      evaluation.conversations.map((conversation) => [conversation.id, conversation.sessions[0]]),
    );
    /** The two heaviest, in their order. */
    const heaviest = (texts: readonly string[]): readonly string[] => {
      const best = texts.toSorted((one, other) => weigh(other) - weigh(one)).slice(0, 2);
      return texts.filter((text) => best.includes(text));
    };
    const byRag = asked.map(({ conversationId }) =>
      heaviest(
        (told.get(conversationId)?.turns ?? []).map(
          ({ speaker, text, imageCaption }) =>
            `${speaker}: ${text}${imageCaption === undefined ? "" : ` [shares a picture: ${imageCaption}]`}`,
        ),
      ),
    );
    const byBank = asked.map(({ conversationId }) =>
      heaviest((told.get(conversationId)?.facts ?? []).map(({ text }) => text)),
    );
    expect(shownBy("rag-reranked")?.map((shown) => shown.map(({ text }) => text))).toEqual(byRag);
    expect(shownBy("bank-reranked")?.map((shown) => shown.map(({ text }) => text))).toEqual(byBank);
    // A call for each question of each arm, with everything that is stored.
    expect(reranker.asked).toHaveLength(2 * asked.length);
    const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);
    const stored = (of: "turns" | "facts") =>
      sum(asked.map(({ conversationId }) => told.get(conversationId)?.[of].length ?? 0));
    expect(fairness.rows).toMatchObject([
      { rerankCalls: asked.length, rerankedTexts: stored("turns"), most: 2, shown: 2 },
      { rerankCalls: asked.length, rerankedTexts: stored("facts"), most: 2, shown: 2 },
    ]);
    expect(sum(reranker.asked.map(({ length }) => length))).toBe(stored("turns") + stored("facts"));
  });

  it("show what the retriever finds where the reranker has nothing to choose", async () => {
    const rerank = { candidates: 3 };
    const { shownBy, fairness } = await run(
      [
        armOf("rag", "plain"),
        armOf("rag", "reranked", { rerank }),
        armOf("bank", "plain"),
        armOf("bank", "reranked", { rerank }),
      ],
      createWeighingReranker(),
      "as-many",
    );
    for (const memory of ["rag", "bank"]) {
      expect(shownBy(`${memory}-plain`)?.length).toBeGreaterThan(3);
      expect(shownBy(`${memory}-reranked`), memory).toEqual(shownBy(`${memory}-plain`));
    }
    const [plain, reranked] = fairness.rows;
    expect(plain).not.toHaveProperty("rerankCalls");
    expect(reranked).toMatchObject({ rerankedTexts: 3 * Number(reranked?.["rerankCalls"]) });
  });

  it("ask a system that searches and answers by itself for neither", async () => {
    const rerank = { candidates: 5 };
    const reranker = createWeighingReranker();
    const { fairness, shownBy, evaluation } = await run(
      [armOf("memgpt", "plain"), armOf("memgpt", "reranked", { rerank })],
      reranker,
      "own-answer",
    );
    expect(fairness.rows.map(({ answeredBy }) => answeredBy)).toEqual([
      "the system",
      "untrained Answer Agent",
    ]);
    // One call of the reader for each question, none of the system.
    const [, reranked] = fairness.rows;
    expect(reranked?.["questionCalls"]).toBe(reranked?.["questions"]);
    const stored = [...(evaluation.systems.get("memgpt-2024")?.values() ?? [])].flatMap(
      ({ memory }) => memory.stored,
    );
    expect(stored.length).toBeGreaterThan(0);
    for (const shown of shownBy("memgpt-reranked") ?? [])
      expect(stored.map(({ text }) => text)).toEqual(
        expect.arrayContaining(shown.map(({ text }) => text)),
      );
  });

  it("show nothing of a memory that stores nothing, and call nobody for it", async () => {
    const reranker = createWeighingReranker();
    const rerank = { candidates: 5 };
    const { fairness, shownBy } = await run(
      [armOf("no-memory", "reranked", { rerank })],
      reranker,
      "nothing",
    );
    expect(shownBy("no-memory-reranked")?.flat()).toEqual([]);
    expect(reranker.asked).toEqual([]);
    expect(fairness.rows).toMatchObject([{ rerankCalls: 0, rerankedTexts: 0 }]);
  });

  it("have no column in a sheet without one, and no answer without a reranker", async () => {
    const { fairness } = await run([armOf("rag", "plain")], undefined, "without");
    const keys = fairness.columns.map(({ key }) => key);
    expect(keys).not.toContain("rerankCalls");
    expect(fairness.notes).toHaveLength(4);
    await expect(
      run([armOf("rag", "reranked", { rerank: {} })], undefined, "unserved"),
    ).rejects.toThrow(ConfigError);
  });
});
