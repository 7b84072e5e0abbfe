import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type AnswerMetric, isMetricName, type MetricName, metrics } from "./registry.ts";
import { type RetrievalMetric, retrievalMetrics } from "./retrieval-registry.ts";
import { tokeniseSentence, tokeniseWholeSentence } from "./word-tokenizer.ts";

// Equal in every run: a failure is found again.
fc.configureGlobal({ seed: 20_250_819, numRuns: 200 });

/** Words that meet often, with the marks and scripts at which definitions part. */
const word = fc.oneof(
  fc.constantFrom(
    ..."the a an and tea boats boat sailing 7 May, 2023. don't cannot can't it's Mina's re-run U.S. Dr. café 東京 😀 İ ß Σ".split(
      " ",
    ),
  ),
  fc.string({ maxLength: 6 }),
  fc.string({ unit: "grapheme", maxLength: 4 }),
);
const text = fc.array(word, { maxLength: 8 }).map((words) => words.join(" "));
/** At least four words that every definition compares. */
const plainText = fc
  .array(fc.constantFrom(..."tea boat harbour violin garden mint river seven".split(" ")), {
    minLength: 4,
    maxLength: 9,
  })
  .map((words) => words.join(" "));
const categoryCode = fc.constantFrom("1", "2", "3", "4", "5", "other");

const names = Object.keys(metrics).filter(isMetricName);
const score = (name: MetricName, prediction: string, gold: string, code?: string): number =>
  metrics[name].score(prediction, {
    gold,
    ...(code === undefined ? {} : { categoryCode: code }),
  });

describe("every answer metric", () => {
  it("is from 0 to 1 for every text and category", () => {
    fc.assert(
      fc.property(text, text, categoryCode, (prediction, gold, code) => {
        for (const name of names) {
          const value = score(name, prediction, gold, code);
          expect(value, name).toBeGreaterThanOrEqual(0);
          // Rounding: 2 · P · R / (P + R) and products of powers.
          expect(value, name).toBeLessThanOrEqual(1 + 1e-12);
        }
      }),
    );
  });

  it("is 1 for gold itself, of four plain words or more", () => {
    fc.assert(
      fc.property(plainText, (gold) => {
        for (const name of names) expect(score(name, gold, gold), name).toBeCloseTo(1, 12);
      }),
    );
  });

  it("is 1 for any gold itself that holds something to compare", () => {
    fc.assert(
      fc.property(text, (gold) => {
        for (const [name, metric] of Object.entries<AnswerMetric>(metrics)) {
          if (metric.hasComparable?.(gold) === false || isShortForBleu(metric, gold)) continue;
          expect(metric.score(gold, { gold }), name).toBeCloseTo(1, 12);
        }
      }),
    );
  });
});

/** BLEU of a text with fewer words than its order, or none, is not 1 for the text itself; nor is Mem0's match of "". */
function isShortForBleu(metric: AnswerMetric, gold: string): boolean {
  if (metric === metrics["mem0-em"]) return gold === "";
  return metric.description.startsWith("BLEU") && gold.trim().split(/\s+/).length < 5;
}

describe("symmetry", () => {
  it("F1 and exact match are the same with prediction and gold exchanged, outside of category rules", () => {
    const symmetric = names.filter((name) => /f1|(?<!sub-)em$/.test(name));
    expect(symmetric).toContain("locomo-set-em");
    expect(symmetric).not.toContain("squad-sub-em");
    fc.assert(
      fc.property(text, text, (one, other) => {
        for (const name of symmetric) {
          expect(score(name, one, other), name).toBeCloseTo(score(name, other, one), 12);
        }
      }),
    );
  });

  it.each(["1", "2", "l"] as const)("ROUGE-%s: precision one way is recall the other", (kind) => {
    fc.assert(
      fc.property(text, text, (one, other) => {
        expect(score(`rouge-${kind}-precision`, one, other)).toBe(
          score(`rouge-${kind}-recall`, other, one),
        );
      }),
    );
  });
});

describe("what a definition ignores does not change its score", () => {
  const ignoring = (
    change: string,
    changed: (prediction: string) => string,
    by: readonly MetricName[],
  ): void => {
    it(`such as ${change}`, () => {
      fc.assert(
        fc.property(text, plainText, (prediction, gold) => {
          for (const name of by) {
            expect(score(name, changed(prediction), gold), name).toBeCloseTo(
              score(name, prediction, gold),
              12,
            );
          }
        }),
      );
    });
  };
  const byWords = names.filter((name) => !/bleu|rouge-[2l]|em$|precision/.test(name));

  ignoring("small letters instead of capitals", (one) => one.toLowerCase(), names);
  ignoring("blanks at both ends", (one) => `  ${one} `, names);
  ignoring("articles", (one) => `the ${one} an`, [
    "locomo-f1",
    "locomo-set-em",
    "squad-em",
    "squad-sub-em",
    "squad-f1",
  ]);
  ignoring("the word and", (one) => `and ${one}`, ["locomo-f1", "locomo-set-em"]);
  ignoring("ASCII punctuation that stands alone", (one) => `${one} !? - ,`, [
    "locomo-f1",
    "squad-em",
    "squad-f1",
    "memoryos-f1",
    "rouge-1-f1",
    "rouge-l-f1",
  ]);
  ignoring("full stop, comma, ! and ?", (one) => `${one} . , ! ?`, ["mem0-f1"]);
  ignoring("the order of words", (one) => one.split(" ").toReversed().join(" "), [
    ...byWords.filter((name) => name !== "squad-sub-em" && name !== "mem0-em"),
    "locomo-set-em",
  ]);
  ignoring("a word said twice", (one) => `${one} ${one}`, [
    "mem0-f1",
    "memoryos-f1",
    "locomo-set-em",
  ]);
});

describe("order among definitions", () => {
  it("method-1 smoothing never changes BLEU-1, and ROUGE-L never exceeds ROUGE-1", () => {
    fc.assert(
      fc.property(text, text, (prediction, gold) => {
        expect(score("mem0-bleu1", prediction, gold)).toBe(score("plain-bleu1", prediction, gold));
        expect(score("rouge-l-f1", prediction, gold)).toBeLessThanOrEqual(
          score("rouge-1-f1", prediction, gold),
        );
      }),
    );
  });

  it("an exact match is contained and has an F1 of 1, where something is left to compare", () => {
    fc.assert(
      fc.property(text, text, (prediction, gold) => {
        if (score("squad-em", prediction, gold) === 0) return;
        expect(score("squad-sub-em", prediction, gold)).toBe(1);
        expect(score("squad2-f1", prediction, gold)).toBe(1);
      }),
    );
  });
});

describe("every retrieval metric", () => {
  const turn = fc.constantFrom("D1:1", "D1:2", "D2:1", "D2:2", "D3:1");
  const retrieved = fc.array(fc.array(turn, { minLength: 1, maxLength: 3 }), { maxLength: 6 });
  const evidence = fc.array(turn, { maxLength: 4 });

  it("is from 0 to 1, or ungraded without evidence, in any order of the evidence", () => {
    fc.assert(
      fc.property(retrieved, evidence, (retrievedIds, evidenceIds) => {
        for (const [name, metric] of Object.entries<RetrievalMetric>(retrievalMetrics)) {
          const outcome = metric.score({ retrievedIds, evidenceIds });
          expect(metric.score({ retrievedIds, evidenceIds: evidenceIds.toReversed() })).toEqual(
            outcome,
          );
          const hasValue =
            evidenceIds.length > 0 && (name !== "evidence-precision" || retrievedIds.length > 0);
          expect(outcome.status, name).toBe(hasValue ? "graded" : "ungraded");
          const value = outcome.status === "graded" ? outcome.score : 0;
          expect(value, name).toBeGreaterThanOrEqual(0);
          expect(value, name).toBeLessThanOrEqual(1);
        }
      }),
    );
  });
});

it("recall never falls when more is retrieved", () => {
  const turn = fc.constantFrom("D1:1", "D1:2", "D2:1", "D2:2");
  fc.assert(
    fc.property(
      fc.array(turn),
      turn,
      fc.array(turn, { minLength: 1 }),
      (retrievedIds, another, evidenceIds) => {
        for (const name of [
          "evidence-recall",
          "locomo-recall",
          "longmemeval-recall-all",
        ] as const) {
          const recallOf = (ids: readonly string[]): number => {
            const outcome = retrievalMetrics[name].score({ retrievedIds: ids, evidenceIds });
            return outcome.status === "graded" ? outcome.score : Number.NaN;
          };
          expect(recallOf([...retrievedIds, another])).toBeGreaterThanOrEqual(
            recallOf(retrievedIds),
          );
        }
      },
    ),
  );
});

it("a sentence has the same tokens word by word as by the patterns over the whole", () => {
  const piece = fc.constantFrom(
    ...Array.from(" .?!,:;'\"`()[]{}<>*-@&#$%_ \t asntdlm01é’”»“«„‘"),
    ..."cannot gonna wanna 'tis 't is more'n d'ye it's n't 'll dr.".split(" "),
  );
  const sentence = fc.array(piece, { maxLength: 14 }).map((pieces) => pieces.join(""));
  fc.assert(
    fc.property(sentence, (one) => {
      expect(tokeniseSentence(one)).toEqual(tokeniseWholeSentence(one));
    }),
    { numRuns: 3000 },
  );
});
