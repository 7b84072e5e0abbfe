import { createBm25Retriever } from "@memory-r1/core";
import { ConfigError, type MemorySession } from "@memory-r1/spec";
import { describe, expect, it } from "vitest";
import { systemOptionsFor } from "../testing/system-options.ts";
import { createRagWindowsSystem, windowSizes } from "./rag-windows-system.ts";
import { createWindowedText } from "./windowed-text.ts";

const countCharacters = (text: string): number => Array.from(text).length;

async function tell(windows: 1 | 2): Promise<MemorySession> {
  const session = await createRagWindowsSystem({
    retriever: createBm25Retriever(),
    countTokens: countCharacters,
    contextTokens: 1000,
    replyTokens: 100,
    size: 20,
    windows,
  }).open({ id: "c", participants: ["Mia", "Leo"] });
  await session.ingest(
    { id: "D1:1", speaker: "Mia", text: "I row." },
    { id: "s1", dateText: "3 May" },
    [],
  );
  await session.ingest(
    { id: "D2:1", speaker: "Leo", text: "", imageCaption: "an oar" },
    { id: "s2", dateText: "4 May" },
    [],
  );
  return session;
}

describe("rag-windows", () => {
  it("cuts lines of date, speaker and text into windows of equal size, whatever they hold", async () => {
    const session = await tell(2);
    // "3 May | Mia: I row.\n" is 20 characters, "4 May | Leo:  [shares a picture: an oar]\n" 41.
    expect(await session.stored()).toEqual([
      { text: "3 May | Mia: I row.", date: "3 May", sourceTurnIds: ["D1:1"] },
      { text: "4 May | Leo:  [share", date: "4 May", sourceTurnIds: ["D2:1"] },
      { text: "s a picture: an oar]", date: "4 May", sourceTurnIds: ["D2:1"] },
    ]);
    expect(session.counts()).toEqual({ operations: { append: 2 }, unparsable: 0, rejected: 0 });
  });

  it("shows the best one or two, best first", async () => {
    const question = { id: "q", text: "an oar or an Mia" };
    const texts = async (windows: 1 | 2): Promise<readonly string[]> =>
      (await (await tell(windows)).context(question)).map(({ text }) => text);
    expect(await texts(1)).toEqual(["s a picture: an oar]"]);
    expect(await texts(2)).toEqual(["s a picture: an oar]", "3 May | Mia: I row."]);
  });

  it("refuses windows that do not fit the context, and takes those that just do", () => {
    const create = (contextTokens: number): unknown =>
      createRagWindowsSystem({
        ...systemOptionsFor({ contextTokens, replyTokens: 100 }),
        size: 128,
        windows: 2,
      });
    expect(() => create(355)).toThrow(ConfigError);
    expect(() => create(355)).toThrow("2 windows of 128 tokens and a reply of 100 do not fit");
    expect(create(356)).toMatchObject({ name: "rag-windows-128-k2" });
  });

  it("has the sizes of the table", () => {
    expect(windowSizes).toEqual([128, 256, 512, 1024, 2048, 4096, 8192]);
  });
});

describe("windowed text", () => {
  const windowsOf = (size: number, ...texts: readonly string[]): readonly string[] => {
    const windowed = createWindowedText(size, countCharacters);
    texts.forEach((text, index) => windowed.append({ text, turnId: `t${index}`, date: "d" }));
    return windowed
      .windows()
      .map(({ text, sourceTurnIds }) => `${text}|${sourceTurnIds.join("+")}`);
  };

  it("lets a window hold the end of one turn and the beginning of the next", () => {
    expect(windowsOf(4, "abc", "defgh")).toEqual(["abcd|t0+t1", "efgh|t1"]);
    expect(windowsOf(4, "abcd")).toEqual(["abcd|t0"]);
    expect(windowsOf(100, "ab", "cd")).toEqual(["abcd|t0+t1"]);
    expect(windowsOf(4)).toEqual([]);
  });

  it("never cuts a character, even where one takes more than a window", () => {
    expect(windowsOf(2, "a😀b")).toEqual(["a😀|t0", "b|t0"]);
    expect(windowsOf(1, "👩‍👩‍👧x")).toEqual(["👩‍👩‍👧|t0", "x|t0"]);
  });
});
