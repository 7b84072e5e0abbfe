import type { Manifest } from "@memory-r1/report";
import { renderMarkdown, type TableData } from "@memory-r1/report";
import type { TrainingStage } from "../experiment.ts";

/** What a trained adapter is, for whoever finds its folder. */
export interface ModelCardFacts {
  /** Of the hub. */
  readonly baseModelId: string;
  readonly stage: TrainingStage;
  /** The checkpoint that validation chose; step 0 is the start. */
  readonly trained: { readonly bestStep: number; readonly bestScore: number };
  readonly manifest: Manifest;
  /** The run's main table, of all systems that were compared. */
  readonly results: TableData;
  /** Lower-case hex, of `adapter_model.safetensors`. */
  readonly weightsSha256: string;
}

/** README.md of an adapter's folder: the front matter that the Hugging Face hub reads, use, provenance and results. */
export function renderModelCard(facts: ModelCardFacts): string {
  const { baseModelId, stage, trained, manifest, weightsSha256 } = facts;
  const policy = policyModel(manifest);
  const agent = stage.agent === "manager" ? "Memory Manager" : "Answer Agent";
  const rows: readonly (readonly [string, string])[] = [
    ["Base model", `${policy.name} (${baseModelId})`],
    ["Its weights", `${policy.revision}, from ${policy.source}`],
    ["Experiment", manifest.experiment],
    ["Command", `\`${manifest.command}\``],
    ["Code", commitOf(manifest.code)],
    ...(manifest.resumed ?? []).map(
      ({ code, overrides }) => ["Resumed with", [commitOf(code), ...overrides].join(", ")] as const,
    ),
    ["Data set", `${manifest.dataset.name}, sha256 ${manifest.dataset.sha256}`],
    ["Seeds", joinEntries(manifest.seeds)],
    ["Versions", joinEntries(manifest.versions)],
    ["Made on", `${manifest.machine.cpu}, ${manifest.machine.cores} cores, ${manifest.createdAt}`],
    ["Chosen step", `${trained.bestStep} (validation score ${trained.bestScore})`],
    ["Weights", `sha256 ${weightsSha256}`],
  ];
  return `---
base_model: ${baseModelId}
library_name: peft
pipeline_tag: text-generation
tags:
- lora
- memory-r1
- reinforcement-learning
---

# ${agent} of Memory-R1: ${manifest.experiment}, ${stage.name}

A LoRA adapter for ${baseModelId}, trained by the open implementation of Memory-R1 (arXiv 2508.19828).${
    trained.bestStep === 0
      ? " No checkpoint was better on validation than the start of this stage: these are the weights that it began with."
      : ""
  }

\`\`\`python
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained("${baseModelId}")
base = AutoModelForCausalLM.from_pretrained("${baseModelId}")
model = PeftModel.from_pretrained(base, ".")  # this folder, or its id on the hub
\`\`\`

The prompts that it was trained on are files of that implementation, at the commit below; \`manifest.json\` has their
checksums. Whether the adapter may be passed on depends on the licences of the base model and of the data set.

## Where it comes from

| | |
| --- | --- |
${rows.map(([name, value]) => `| ${name} | ${escapeCell(value)} |`).join("\n")}

## Training

\`\`\`json
${JSON.stringify({ lora: manifest.configuration["lora"], model: manifest.configuration["model"], stage }, null, 2)}
\`\`\`

## Results of the run

${renderMarkdown(facts.results).trimEnd()}
`;
}

/** The entry of the model that the run's adapters belong to. */
export function policyModel(manifest: Manifest): Manifest["models"][number] {
  const found = manifest.models.find(({ role }) => role.startsWith("policy"));
  if (found === undefined)
    throw new Error(`the manifest of ${manifest.experiment} names no policy model`);
  return found;
}

function commitOf(code: Manifest["code"]): string {
  const commit = code.commit ?? "no git checkout";
  return code.dirty ? `${commit}, with changes` : commit;
}

function joinEntries(values: Readonly<Record<string, string | number>>): string {
  return Object.entries(values)
    .map(([name, value]) => `${name} ${value}`)
    .join(", ");
}

function escapeCell(text: string): string {
  return text.replaceAll("|", String.raw`\|`).replaceAll("\n", " ");
}
