import type { DatasetPart } from "@memory-r1/datasets";
import {
  ConfigError,
  type Conversation,
  HarnessError,
  type Question,
  type Session,
  type Turn,
} from "@memory-r1/spec";
import { buildCommand, type Command, type CommandContext } from "@stricli/core";
import { parseText } from "../../command-flags.ts";
import { escapeControls } from "../../escape-controls.ts";
import { guardCommand } from "../../guard-command.ts";
import type { Shell } from "../../shell.ts";
import {
  datasetFlags,
  type DatasetRequest,
  datasetsLibrary,
  findDefinition,
  openOptions,
} from "./open-dataset.ts";

export interface DatasetsShowRequest extends Omit<DatasetRequest, "dataset"> {
  readonly question: string;
  /** Absent: every data set that is here is searched. */
  readonly dataset?: string;
}

/** A turn of the evidence with the session in which it was said. */
interface EvidenceTurn extends Turn {
  readonly sessionId: string;
  readonly dateText: string;
}

/** What `--json` gives. */
interface ShownQuestion {
  readonly dataset: string;
  readonly question: Question;
  readonly evidence: readonly EvidenceTurn[];
  /** Sessions that are named as evidence as a whole. */
  readonly evidenceSessions: readonly Pick<Session, "id" | "dateText">[];
}

/** `repro datasets show <question-id>`. */
export function buildDatasetsShowCommand(
  handle: (request: DatasetsShowRequest) => Promise<void>,
): Command<CommandContext> {
  return buildCommand({
    func: (flags: Omit<DatasetsShowRequest, "question">, question: string) =>
      handle({ ...flags, question }),
    parameters: {
      positional: {
        kind: "tuple",
        parameters: [
          {
            parse: parseText,
            brief: "Id of a question, such as conv-26/qa-0",
            placeholder: "question-id",
          },
        ],
      },
      flags: {
        ...datasetFlags,
        dataset: {
          kind: "parsed",
          parse: parseText,
          brief: "Data set of the question (default: every one that is here, in their order)",
          placeholder: "NAME",
          optional: true,
        },
      },
    },
    docs: {
      brief: "Show a question: its gold, its category under every naming, its evidence",
    },
  });
}

export function createDatasetsShowHandler(
  shell: Shell,
): (request: DatasetsShowRequest) => Promise<number> {
  return (request) =>
    guardCommand(shell, false, async () => {
      const shown = await find(shell, request);
      shell.writeOut(request.json ? `${JSON.stringify(shown, null, 2)}\n` : renderQuestion(shown));
      return 0;
    });
}

/** @throws ConfigError where no data set that is here has the question */
async function find(
  shell: Shell,
  { question: id, dataset, dataDir }: DatasetsShowRequest,
): Promise<ShownQuestion> {
  const { datasets, readParts } = await datasetsLibrary();
  const options = openOptions(shell, dataDir);
  const names = dataset === undefined ? Object.keys(datasets) : [dataset];
  const searched: string[] = [];
  const unread: string[] = [];
  for (const candidate of names) {
    const { name, definition } = await findDefinition(candidate);
    try {
      for await (const part of readParts(definition, options)) {
        const question = part.questions.find((one) => one.id === id);
        if (question !== undefined) return { dataset: name, ...evidenceOf(question, part) };
      }
      searched.push(name);
    } catch (error) {
      // Of all data sets some are not here; of one that was asked for the user wants to know why.
      if (dataset !== undefined || !HarnessError.isInstance(error)) throw error;
      unread.push(name);
    }
  }
  throw new ConfigError(
    `No question has the id "${id}". Searched: ${searched.join(", ")}.` +
      (unread.length === 0
        ? ""
        : ` Not here, or not readable: ${unread.join(", ")} (\`--dataset <name>\` tells why).`),
  );
}

function evidenceOf(
  question: Question,
  { conversation }: DatasetPart,
): Omit<ShownQuestion, "dataset"> {
  return {
    question,
    evidence: conversation.sessions.flatMap(({ id: sessionId, dateText, turns }) =>
      turns
        .filter(({ id }) => question.evidenceTurnIds.includes(id))
        .map((turn) => ({ ...turn, sessionId, dateText })),
    ),
    evidenceSessions: sessionsOf(conversation, question.evidenceSessionIds ?? []),
  };
}

function sessionsOf(
  { sessions }: Conversation,
  ids: readonly string[],
): Pick<Session, "id" | "dateText">[] {
  return sessions
    .filter(({ id }) => ids.includes(id))
    .map(({ id, dateText }) => ({ id, dateText }));
}

function renderQuestion({ dataset, question, evidence, evidenceSessions }: ShownQuestion): string {
  const { category, knownIssues = [] } = question;
  const names = Object.entries(category.names).map(([scheme, name]) => `${scheme}: ${name}`);
  const rows: [string, string | undefined][] = [
    ["question", question.text],
    ["id", `${question.id} of ${dataset}`],
    ["conversation", question.conversationId],
    ["asked", question.dateText],
    ["gold", question.gold ?? "none: it cannot be graded"],
    ["answerable", question.answerable ? "yes" : "no"],
    ["trap", question.adversarialAnswer],
    ["category", [category.code, ...names].join(", ")],
    ...knownIssues.map(({ kind, scoreCorrupting, source }): [string, string] => [
      "finding",
      `${kind} (${scoreCorrupting ? "a right answer is scored wrong" : "scores are not touched"}), ${source}`,
    ]),
    ...evidenceSessions.map(({ id, dateText }): [string, string] => [
      "evidence",
      `session ${id}, ${dateText}`,
    ]),
    ...evidence.map((turn): [string, string] => ["evidence", describeTurn(turn)]),
  ];
  return rows
    .flatMap(([label, text]) =>
      text === undefined ? [] : [`${`${label}:`.padEnd(14)}${escapeControls(text)}\n`],
    )
    .join("");
}

function describeTurn(turn: EvidenceTurn): string {
  const pictures = [
    ...(turn.imageCaption === undefined ? [] : [`[picture: ${turn.imageCaption}]`]),
    ...(turn.imageUrls ?? []),
  ];
  return [`${turn.id}, ${turn.dateText}, ${turn.speaker}: ${turn.text}`, ...pictures].join(" ");
}
