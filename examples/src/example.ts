import type { MemoryStore } from "@memory-r1/core";
import type { TextGenerator } from "@memory-r1/spec";

/** What an example is given to run with. */
export interface ExampleSetting {
  /** The chat model behind the endpoint that was configured. Absent: the example plays its own script. */
  readonly model?: TextGenerator;
  /** The model is small: short prompts of one line, and no distillation. */
  readonly small: boolean;
  readonly store: MemoryStore;
  readonly now: () => Date;
  /** What a person types, line by line; only the chat reads it. */
  readonly lines: AsyncIterable<string>;
  readonly write: (line: string) => void;
}

/** An example: `npx pnpm@10.34.8 example <name>`. */
export interface Example {
  readonly description: string;
  run(setting: ExampleSetting): Promise<void>;
}
