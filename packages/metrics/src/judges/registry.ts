import { type Constraint, ungraded } from "@memory-r1/spec";
import { isAnswerable, type Judge, type JudgeRequest } from "./judge.ts";
import { longMemEvalTemplate, longMemEvalTypes } from "./longmemeval-template.ts";
import {
  parseLabelVerdict,
  parseLongMemEvalAsPublished,
  parseMem0LabelAsPublished,
  parseYesNoVerdict,
  parseZepVerdict,
} from "./parse-verdict.ts";
import { type JudgePromptName, judgePrompts } from "./prompts.ts";

interface ReplyForm {
  /** Enough for the form, so that a longer reply is one that does not keep to it. */
  readonly maxTokens: number;
  readonly constraint?: Constraint;
}

/** A JSON object of texts, `verdict` being CORRECT or WRONG, as a schema that strict servers take. */
function jsonReply(keys: readonly string[], verdict: string, maxTokens: number): ReplyForm {
  const properties = Object.fromEntries(
    keys.map((key) => [
      key,
      key === verdict ? { type: "string", enum: ["CORRECT", "WRONG"] } : { type: "string" },
    ]),
  );
  const schema = { type: "object", properties, required: keys, additionalProperties: false };
  return { maxTokens, constraint: { type: "json_schema", value: JSON.stringify(schema) } };
}

const labelReply = jsonReply(["label"], "label", 64);
const zepReply = jsonReply(["reasoning", "is_correct"], "is_correct", 256);
const yesNoReply: ReplyForm = { maxTokens: 10 };

/** Every judge is asked greedily: its verdicts are measurements, not samples. */
const temperature = 0;

function request(
  prompt: JudgePromptName,
  reply: ReplyForm,
  { question, gold, prediction }: { question: string; gold: string; prediction: string },
): JudgeRequest {
  return {
    status: "ask",
    prompt,
    promptSha256: judgePrompts.sha256(prompt),
    messages: judgePrompts.render(prompt, { question, gold, prediction }),
    temperature,
    ...reply,
  };
}

/** A judge of answers that have a gold answer to be compared with; its authors leave unanswerable questions out. */
function answerJudge(
  facts: Pick<Judge, "description" | "source" | "parse">,
  prompt: JudgePromptName,
  reply: ReplyForm,
): Judge {
  return {
    ...facts,
    judgesUnanswerable: false,
    build: (answer) => {
      if (!isAnswerable(answer))
        return ungraded("this judge has no rule for unanswerable questions");
      if (answer.gold === undefined) return ungraded("no gold answer");
      return request(prompt, reply, { ...answer, gold: answer.gold });
    },
  };
}

function longMemEvalJudge(facts: Pick<Judge, "description" | "parse">): Judge {
  return {
    ...facts,
    source: "LongMemEval, src/evaluation/evaluate_qa.py at 9e0b455",
    judgesUnanswerable: true,
    build: (answer) => {
      const template = longMemEvalTemplate(answer);
      if (template === undefined) {
        return ungraded(
          `LongMemEval has no type ${JSON.stringify(answer.type)}: its types are ${longMemEvalTypes.join(", ")}`,
        );
      }
      const gold = answer.gold ?? (isAnswerable(answer) ? undefined : "(none given)");
      if (gold === undefined) return ungraded("no gold answer");
      return request(template, yesNoReply, { ...answer, gold });
    },
  };
}

/**
 * Every judge by name. The words of the prompts are ours, the contracts are the sources'. `…-as-published` asks the same
 * and reads the reply as the source's script does, for numbers that are to stand beside published ones. See docs/judges.md.
 */
export const judges = {
  "mem0-j": answerJudge(
    {
      description: "Mem0's J: the same topic is enough",
      source: "Mem0, evaluation/metrics/llm_judge.py at 9315e3036~1",
      parse: parseLabelVerdict,
    },
    "judge-mem0-j",
    labelReply,
  ),
  "mem0-j-as-published": answerJudge(
    {
      description: "mem0-j, its reply read as Mem0's script reads it",
      source: "Mem0, evaluation/metrics/llm_judge.py at 9315e3036~1",
      parse: parseMem0LabelAsPublished,
    },
    "judge-mem0-j",
    labelReply,
  ),
  "zep-j": answerJudge(
    {
      description: "Mem0's rules with the reply that Zep's evaluation asks for",
      source: "Zep, zep-papers LoCoMo evaluation at 4b7f26c",
      parse: parseZepVerdict,
    },
    "judge-zep-j",
    zepReply,
  ),
  dmr: answerJudge(
    {
      description: "MemGPT's judge of Deep Memory Retrieval: the gold answer's thing must be there",
      source: "MemGPT, arXiv 2310.08560, appendix",
      parse: parseLabelVerdict,
    },
    "judge-dmr",
    labelReply,
  ),
  longmemeval: longMemEvalJudge({
    description: "LongMemEval's judge: a template for each type, one for unanswerable questions",
    parse: parseYesNoVerdict,
  }),
  "longmemeval-as-published": longMemEvalJudge({
    description: 'longmemeval, where any reply with "yes" in it counts',
    parse: parseLongMemEvalAsPublished,
  }),
} as const satisfies Readonly<Record<string, Judge>>;

export type JudgeName = keyof typeof judges;
