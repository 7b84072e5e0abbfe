import { randomUUID } from "node:crypto";
import { createMemoryR1 } from "@memory-r1/core";
import type { Example } from "./example.ts";
import { createRuleModel } from "./scripted-model.ts";

/** A line that ends in a question mark is asked, any other is told. What was told is there the next time. */
export const chat: Example = {
  description: "a chat that remembers across restarts; without an endpoint by two rules",
  run: async ({ model, small, store, now, lines, write }) => {
    const isSmall = small || model === undefined;
    const memory = createMemoryR1({
      model: model ?? createRuleModel(),
      store,
      bankId: "chat",
      format: isSmall ? "compact" : "mem0-json",
      variant: isSmall ? "short" : "distill",
      now,
    });
    const known = await memory.entries();
    write(`I remember ${known.length} things. Tell me something, or ask a question with "?".`);
    for await (const line of lines) {
      const text = line.trim();
      if (text === "") continue;
      if (text.endsWith("?")) {
        const { answer, unparsable, shown } = await memory.ask(text);
        write(answer ?? `(the model's reply could not be read: ${unparsable})`);
        write(`  from ${shown.length} memories`);
        continue;
      }
      const date = now().toISOString().slice(0, 16).replace("T", " ");
      const ingested = await memory.ingest({ id: randomUUID(), speaker: "You", text, date });
      if (ingested.status === "known") continue;
      const done = ingested.records.map(({ operation }) => operation.kind).join(", ");
      write(ingested.unparsable.length > 0 ? "(I could not decide what to keep of it)" : done);
    }
  },
};
