import { createBm25Retriever } from "@memory-r1/core";
import type { ExtractedFact, Turn } from "@memory-r1/spec";
import { describe, expect, it } from "vitest";
import { createRagSystem, type RagUnit } from "./rag-system.ts";

const session = { id: "session_1", dateText: "3 May 2024" };
const turn: Turn = { id: "D1:1", speaker: "Mia", text: "Look at him!", imageCaption: "a parrot" };
const facts: readonly ExtractedFact[] = [
  { id: "f1", text: "Mia has a parrot.", participant: "Mia", sourceTurnIds: ["D1:1", "D1:0"] },
  { id: "f2", text: "Mia likes birds.", participant: "Mia", sourceTurnIds: ["D1:1"] },
];

async function ask(unit: RagUnit, said: Turn, of: readonly ExtractedFact[]) {
  const system = createRagSystem({ unit, retriever: createBm25Retriever(), count: 1 });
  const opened = await system.open({ id: "c", participants: ["Mia", "Leo"] });
  await opened.ingest(said, session, of);
  return opened.context({ id: "q", text: "Who has a parrot?" });
}

describe("rag", () => {
  it("keeps turns with speaker and picture", async () => {
    expect(await ask("turn", turn, facts)).toEqual([
      {
        text: "Mia: Look at him! [shares a picture: a parrot]",
        date: "3 May 2024",
        sourceTurnIds: ["D1:1"],
      },
    ]);
    const { imageCaption: _, ...plain } = turn;
    expect((await ask("turn", plain, []))[0]?.text).toBe("Mia: Look at him!");
  });

  it("keeps a session's summary once the session has ended, with all its turns", async () => {
    const system = createRagSystem({ unit: "session", retriever: createBm25Retriever(), count: 2 });
    const opened = await system.open({ id: "c", participants: ["Mia", "Leo"] });
    const summary = "Mia and Leo talked about a parrot.";
    await opened.ingest(turn, session, facts);
    await opened.ingest({ ...turn, id: "D1:2" }, session, []);
    expect(await opened.stored()).toEqual([]);
    await opened.ingest({ ...turn, id: "D1:3" }, { ...session, ended: { summary } }, []);
    // Another session without a summary: nothing to keep.
    await opened.ingest({ ...turn, id: "D2:1" }, { id: "s2", dateText: "4 May", ended: {} }, []);
    expect(await opened.stored()).toEqual([
      { text: summary, date: "3 May 2024", sourceTurnIds: ["D1:1", "D1:2", "D1:3"] },
    ]);
    expect(opened.counts().operations).toEqual({ store: 1 });
  });

  it("keeps observations with all their turns", async () => {
    expect(await ask("observation", turn, facts)).toEqual([
      { text: "Mia has a parrot.", date: "3 May 2024", sourceTurnIds: ["D1:1", "D1:0"] },
    ]);
    expect(await ask("observation", turn, [])).toEqual([]);
  });
});
