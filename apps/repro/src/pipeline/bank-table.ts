import { computeHeldTurns, evidenceMissing } from "@memory-r1/metrics";
import type { TableData } from "@memory-r1/report";
import type { Question } from "@memory-r1/spec";
import { type EvaluatedSplit, evaluatedSplits } from "../experiment.ts";
import type { EvaluatedQuestions, Evaluation } from "./evaluate-arms.ts";
import type { PlayedBanks } from "./play-managers.ts";
import { splitColumn } from "./score-predictions.ts";

/** What each Manager's episodes came to, per split: operations by kind, bank size, and evidence gone from the banks. */
export function bankTable(evaluation: Evaluation): TableData {
  const rows = [...evaluation.banks].flatMap(([manager, played]) =>
    evaluatedSplits.flatMap((split) => {
      const summary = summariseBanks(played, evaluation.questions, split);
      return summary === undefined ? [] : [{ split, manager, ...summary }];
    }),
  );
  const count = (key: string, label: string) => ({ key, label, kind: "count" as const });
  return {
    title: "Memory banks after whole episodes",
    columns: [
      splitColumn,
      { key: "manager", label: "Manager", kind: "text" },
      count("facts", "Facts told"),
      count("add", "ADD"),
      count("update", "UPDATE"),
      count("delete", "DELETE"),
      count("noop", "NOOP"),
      count("unparsable", "Unparsable"),
      count("rejected", "Rejected"),
      count("entries", "Memories"),
      { key: "evidenceMissing", label: "Evidence missing", kind: "score" },
      { key: "evidenceMissingBySource", label: "by source turn alone", kind: "score" },
    ],
    rows,
    notes: [
      "Evidence missing: share of gold-evidence turns of whose facts no memory holds half of the words.",
      "Turns that the extraction step drew no fact from are missing for every Manager: compare with add-everything.",
    ],
  };
}

function summariseBanks(
  played: PlayedBanks,
  questions: EvaluatedQuestions,
  split: EvaluatedSplit,
): Record<string, number | undefined> | undefined {
  const asked = groupByConversation(questions[split]);
  if (![...asked.keys()].some((conversationId) => played.has(conversationId))) return undefined;
  const sums = {
    facts: 0,
    add: 0,
    update: 0,
    delete: 0,
    noop: 0,
    unparsable: 0,
    rejected: 0,
    entries: 0,
  };
  let cited = 0;
  let missing = 0;
  let missingBySource = 0;
  for (const [conversationId, ofConversation] of asked) {
    const episode = played.get(conversationId);
    if (episode === undefined) continue;
    sums.facts += episode.facts.length;
    sums.add += episode.operations.ADD;
    sums.update += episode.operations.UPDATE;
    sums.delete += episode.operations.DELETE;
    sums.noop += episode.operations.NOOP;
    sums.unparsable += episode.unparsable;
    sums.rejected += episode.rejected;
    sums.entries += episode.bank.size();
    const evidence = ofConversation.map((question) => question.evidenceTurnIds);
    const turns = new Set(evidence.flat()).size;
    const entries = episode.bank.entries();
    const held = computeHeldTurns(
      episode.facts.map(({ fact }) => fact),
      entries.map((entry) => entry.text),
    );
    cited += turns;
    missing += (evidenceMissing(evidence, held) ?? 0) * turns;
    missingBySource +=
      (evidenceMissing(
        evidence,
        entries.flatMap((entry) => entry.sourceTurnIds),
      ) ?? 0) * turns;
  }
  return {
    ...sums,
    evidenceMissing: cited === 0 ? undefined : missing / cited,
    evidenceMissingBySource: cited === 0 ? undefined : missingBySource / cited,
  };
}

function groupByConversation(questions: readonly Question[]): Map<string, Question[]> {
  const groups = new Map<string, Question[]>();
  for (const question of questions) {
    const group = groups.get(question.conversationId) ?? [];
    group.push(question);
    groups.set(question.conversationId, group);
  }
  return groups;
}
