import {
  createMemoryR1,
  drawEntries,
  drawHistory,
  type MemoryR1,
  replayJournal,
  type SaidTurn,
} from "@memory-r1/core";
import type { MemoryEntry } from "@memory-r1/spec";
import type { Example, ExampleSetting } from "./example.ts";
import { createScriptedModels, type Script } from "./scripted-model.ts";

/** A case study of the paper (arXiv 2508.19828), retold: what is said, then a question. */
interface CaseStudy {
  readonly name: string;
  readonly turns: readonly SaidTurn[];
  readonly question: string;
  /** Of a bank that is too long to be drawn whole: what its memories are about that are drawn. */
  readonly about?: RegExp;
  /** What two models say where none is configured: one as it comes, and one as training makes it. */
  readonly scripts: readonly (readonly [label: string, script: Script])[];
}

const memoryJson = (...memory: readonly object[]): string => JSON.stringify({ memory });
const add = (text: string): string => memoryJson({ event: "ADD", text });

const said = (id: string, date: string, participant: string, fact: string): SaidTurn => ({
  id,
  date,
  speaker: participant,
  text: fact,
  facts: [{ text: fact, participant }],
});

const buddy = "Andrew took in a shelter dog called Buddy";
const scout = "Andrew took in another dog called Scout";
const bothDogs = "Andrew took in two dogs: Buddy, from a shelter, and Scout";

const dogs: CaseStudy = {
  name: "buddy-and-scout",
  turns: [
    said("D1:4", "3 March 2023", "Andrew", buddy),
    said("D9:2", "20 August 2023", "Andrew", scout),
  ],
  question: "How many dogs has Andrew taken in?",
  scripts: [
    [
      "untrained: a second dog looks like a contradiction",
      {
        manager: [
          add(buddy),
          memoryJson({ id: "0", event: "DELETE" }, { event: "ADD", text: scout }),
        ],
        answer: [`- 1: ${scout}\n\n**Answer:** one`],
      },
    ],
    [
      "trained: one memory holds both",
      {
        manager: [add(buddy), memoryJson({ id: "0", event: "UPDATE", text: bothDogs })],
        answer: [`- 1: ${bothDogs}\n\n**Answer:** two`],
      },
    ],
  ],
};

const allergic = "Joanna is allergic to furry animals and most reptiles";
const likes = "Joanna likes turtles";
const turtles = "Joanna is allergic to turtles and cockroaches too";
const calm = "Joanna likes turtles because they are calm";
const allAllergies =
  "Joanna is allergic to furry animals and most reptiles, turtles among them, and cockroaches";

const joanna: CaseStudy = {
  name: "joannas-turtles",
  turns: [
    said("D2:1", "5 May 2023", "Joanna", allergic),
    said("D2:7", "5 May 2023", "Joanna", likes),
    said("D5:3", "9 June 2023", "Joanna", turtles),
    said("D5:4", "9 June 2023", "Joanna", calm),
  ],
  question: "Which allergies does Joanna have?",
  scripts: [
    [
      "untrained: to like and to be allergic look like a contradiction",
      {
        manager: [
          add(allergic),
          add(likes),
          memoryJson(
            { id: "0", event: "DELETE" },
            { id: "1", event: "DELETE" },
            { event: "ADD", text: turtles },
          ),
          add(calm),
        ],
        answer: [`- 1: ${turtles}\n\n**Answer:** turtles and cockroaches`],
      },
    ],
    [
      "trained: each new fact goes into the memory that it belongs to",
      {
        manager: [
          add(allergic),
          add(likes),
          memoryJson({ id: "0", event: "UPDATE", text: allAllergies }),
          memoryJson({ id: "0", event: "UPDATE", text: calm }),
        ],
        answer: [
          `- 1: ${allAllergies}\n\n**Answer:** furry animals, most reptiles (turtles too) and cockroaches`,
        ],
      },
    ],
  ],
};

const beachFacts: readonly string[] = [
  "John walks on the beach near his home every morning",
  "John's children learnt to surf at the beach next door",
];

/** 40 weeks in which two people say something: more than the 30 memories that a question is shown of each. */
const homeTurns = Array.from({ length: 40 }, (_, week) => {
  const day = new Date(Date.UTC(2023, 0, 1 + 7 * week));
  const date = day.toLocaleDateString("en-GB", { dateStyle: "long", timeZone: "UTC" });
  return ["John", "Maria"].map((participant, index) => {
    const beach = participant === "John" ? beachFacts[[7, 27].indexOf(week)] : undefined;
    const other =
      week === 3
        ? `${participant} dreams of a trip to the mountains`
        : `${participant} read book number ${week}`;
    return said(`D${week + 1}:${index + 1}`, date, participant, beach ?? other);
  });
}).flat();

const addEach = homeTurns.map(({ text }) => add(text));

/** What a distilling model writes: the lines of the prompt that tell of the beach, then the answer. */
function distil(prompt: string): string {
  const lines = prompt.split("\n").filter((line) => beachFacts.some((fact) => line.endsWith(fact)));
  return `${lines.map((line) => `- ${line}`).join("\n")}\n\n**Answer:** near a beach`;
}

const beach: CaseStudy = {
  name: "beach-or-mountains",
  turns: homeTurns,
  question: "Is John's home near a beach or near the mountains?",
  about: /beach|mountains/,
  scripts: [
    [
      "untrained: led astray by one of the other memories",
      { manager: addEach, answer: ["**Answer:** near the mountains"] },
    ],
    ["trained: distils what matters first", { manager: addEach, answer: [distil] }],
  ],
};

/** What the last day did to the bank and how it came to be as it is, then the question and what it was answered from. */
async function tell(
  memory: MemoryR1,
  { turns, question, about }: CaseStudy,
  write: ExampleSetting["write"],
) {
  const lastDate = turns.at(-1)?.date ?? "";
  for (const turn of turns) await memory.ingest(turn);
  const journal = await memory.journal();
  const lastDay = journal.findIndex(({ source }) => source.date === lastDate);
  const before = replayJournal(journal, lastDay).entries();
  write(`Before ${lastDate}:\n${indented(drawSome(before, about))}\n`);
  const news = turns.filter(({ date }) => date === lastDate);
  write(`Said on that day:\n${indented(news.map(({ text }) => text).join("\n"))}\n`);
  write(`After it:\n${indented(drawSome(await memory.entries(), about))}\n`);
  const history = about === undefined ? drawHistory(journal) : countOperations(journal);
  write(`The whole history:\n${indented(history)}\n`);
  const { answer, unparsable, shown, selected } = await memory.ask(question);
  write(`${question}\n  ${answer ?? `(unreadable: ${unparsable})`}`);
  write(`  shown ${shown.length}:\n${indented(drawSome(shown, about))}`);
  write(`  selected ${selected.length}:\n${indented(drawEntries(selected))}\n`);
}

/** The memories whose text matches, each gap between them by its length; all of them where nothing is to match. */
function drawSome(entries: readonly MemoryEntry[], about: RegExp | undefined): string {
  if (about === undefined) return drawEntries(entries);
  const lines: string[] = [];
  let left = 0;
  const closeGap = (): void => {
    if (left > 0) lines.push(`   … ${left} more`);
    left = 0;
  };
  for (const entry of entries) {
    if (about.test(entry.text)) {
      closeGap();
      lines.push(drawEntries([entry]));
    } else left += 1;
  }
  closeGap();
  return lines.length === 0 ? drawEntries([]) : lines.join("\n");
}

function countOperations(journal: Awaited<ReturnType<MemoryR1["journal"]>>): string {
  const counts = new Map<string, number>();
  for (const { operation } of journal) {
    counts.set(operation.kind, (counts.get(operation.kind) ?? 0) + 1);
  }
  return [...counts].map(([kind, count]) => `${kind} ${count} times`).join("\n");
}

const indented = (text: string): string =>
  text
    .split("\n")
    .map((line) => (line === "" ? line : `  ${line}`))
    .join("\n");

/** The paper's three case studies, each by the configured model, or by an untrained and a trained one from a script. */
export const caseStudies: Example = {
  description: "the paper's case studies, with the bank's history before and after",
  run: async ({ model, small, store, now, write }) => {
    for (const study of [dogs, joanna, beach]) {
      const runs =
        model === undefined
          ? study.scripts.map(([label, script]) => ({
              label,
              generator: createScriptedModels(script),
            }))
          : [{ label: model.description, generator: model }];
      for (const { label, generator } of runs) {
        write(`== ${study.name}: ${label}\n`);
        const memory = createMemoryR1({
          model: generator,
          store,
          bankId: `${study.name}/${label}`,
          ...(small && model !== undefined ? { format: "compact", variant: "short" } : {}),
          now,
        });
        await tell(memory, study, write);
      }
    }
  },
};
