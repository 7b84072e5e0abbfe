import { type ExtractedFact, ModelCallError } from "@memory-r1/spec";
import { describe, expect, it } from "vitest";
import {
  addEverythingManager,
  type ManagerAgent,
  type ManagerDecision,
} from "../manager/manager-agent.ts";
import { createBm25Retriever } from "../retrieval/bm25-retriever.ts";
import { createMemoryR1System, type MemoryR1Session } from "./memory-r1-system.ts";

const session = { id: "session_1", dateText: "3 May 2024" };
const turn = { id: "D1:1", speaker: "Mia", text: "..." };
const fact = (text: string): ExtractedFact => ({
  id: text,
  text,
  participant: "Mia",
  sourceTurnIds: ["D1:1"],
});

function open(agent: ManagerAgent): Promise<MemoryR1Session> {
  return createMemoryR1System({
    agent,
    retriever: createBm25Retriever(),
    selection: { mode: "overall", count: 2 },
  }).open({ id: "c", participants: ["Mia", "Leo"] });
}

/** Decides in turn what it is told to. */
function scriptedAgent(...decisions: readonly ManagerDecision[]): ManagerAgent {
  const left = [...decisions];
  return {
    name: "scripted",
    decide: () =>
      Promise.resolve(left.shift() ?? { status: "failed", reason: "no more decisions" }),
  };
}

describe("memory-r1 system", () => {
  it("keeps every fact under the add-everything Manager, with turns and date", async () => {
    const opened = await open(addEverythingManager);
    await opened.ingest(turn, session, [fact("Mia has a parrot"), fact("Mia sings")]);
    await opened.ingest({ ...turn, id: "D1:2" }, session, []);
    expect(opened.counts()).toEqual({
      facts: 2,
      operations: { ADD: 2, UPDATE: 0, DELETE: 0, NOOP: 0 },
      unparsable: 0,
      rejected: 0,
      repaired: 0,
    });
    expect((await opened.context({ id: "q", text: "Who sings?" }))[0]).toEqual({
      text: "Mia sings",
      date: "3 May 2024",
      sourceTurnIds: ["D1:1"],
    });
  });

  it("counts operations by kind, unparsable replies and refused operations", async () => {
    const opened = await open(
      scriptedAgent(
        {
          status: "decided",
          operations: [
            { kind: "ADD", text: "Mia sings" },
            { kind: "DELETE", id: "7" },
          ],
        },
        { status: "unparsable", reason: "no line", raw: "Well" },
        { status: "decided", operations: [{ kind: "NOOP" }] },
      ),
    );
    await opened.ingest(turn, session, [fact("a"), fact("b"), fact("c")]);
    expect(opened.counts()).toEqual({
      facts: 3,
      operations: { ADD: 1, UPDATE: 0, DELETE: 0, NOOP: 1 },
      unparsable: 1,
      rejected: 1,
      repaired: 0,
    });
    expect(
      opened
        .bank()
        .journal()
        .map(({ source }) => source.actor),
    ).toEqual(["scripted", "scripted"]);
  });

  it("stops where the model gave no reply: a fact is not dropped", async () => {
    const opened = await open(scriptedAgent({ status: "failed", reason: "timeout" }));
    const ingest = opened.ingest(turn, session, [fact("a")]);
    await expect(ingest).rejects.toThrow(ModelCallError);
    await expect(ingest).rejects.toThrow("fact a of turn D1:1: timeout");
    expect(opened.counts().facts).toBe(0);
  });
});
