import { createMemoryR1, drawEntries, drawHistory, type SaidTurn } from "@memory-r1/core";
import type { Example } from "./example.ts";
import { createScriptedModels, type Script } from "./scripted-model.ts";

const amara = (id: string, date: string, text: string, fact: string): SaidTurn => ({
  id,
  date,
  speaker: "Amara",
  text,
  facts: [{ text: fact, participant: "Amara" }],
});

const moved = amara(
  "call-7/2",
  "18 May 2024",
  "I have moved. Please send everything to 4 Harbour Street in Hull from now on.",
  "Amara's delivery address is now 4 Harbour Street, Hull",
);

const turns: readonly SaidTurn[] = [
  amara(
    "call-1/1",
    "4 March 2024",
    "Hello, I would like to order. My address is 12 Mill Lane, Leeds.",
    "Amara's delivery address is 12 Mill Lane, Leeds",
  ),
  amara("call-1/3", "4 March 2024", "The Basic plan, please.", "Amara has the Basic plan"),
  moved,
  amara(
    "call-9/1",
    "2 June 2024",
    "Parcel 8841 has not come. I think that it is lost.",
    "Amara's parcel 8841 is lost",
  ),
  amara(
    "call-11/1",
    "9 June 2024",
    "Good news: parcel 8841 has come after all.",
    "Amara's parcel 8841 has arrived",
  ),
  // The telephone system delivers a call twice: it is known by its id.
  moved,
];

const memoryJson = (...memory: readonly object[]): string => JSON.stringify({ memory });

const script: Script = {
  manager: [
    memoryJson({ event: "ADD", text: "Amara's delivery address is 12 Mill Lane, Leeds" }),
    memoryJson({ event: "ADD", text: "Amara has the Basic plan" }),
    memoryJson({
      id: "0",
      event: "UPDATE",
      text: "Amara's delivery address is 4 Harbour Street, Hull; until May 2024 it was 12 Mill Lane, Leeds",
    }),
    memoryJson({ event: "ADD", text: "Amara's parcel 8841 is lost" }),
    memoryJson({ id: "0", event: "DELETE" }),
  ],
  answer: [
    "- 1: Amara's delivery address is 4 Harbour Street, Hull\n\n**Answer:** 4 Harbour Street, Hull",
  ],
};

export const customerService: Example = {
  description:
    "a customer's history whose facts change; a call that is delivered twice counts once",
  run: async ({ model, small, store, now, write }) => {
    const memory = createMemoryR1({
      model: model ?? createScriptedModels(script),
      store,
      bankId: "customers/amara",
      ...(small && model !== undefined ? { format: "compact", variant: "short" } : {}),
      now,
    });
    for (const turn of turns) {
      const { status } = await memory.ingest(turn);
      write(`${turn.date}  ${turn.text}${status === "known" ? "  (known already)" : ""}`);
    }
    write("\nWhat the Memory Manager did:\n");
    write(drawHistory(await memory.journal()));
    const question = "Where does Amara's next parcel go?";
    const { answer, unparsable, selected } = await memory.ask(question);
    write(`\n${question}\n${answer ?? `(unreadable: ${unparsable})`}`);
    write(`from:\n${drawEntries(selected)}`);
  },
};
