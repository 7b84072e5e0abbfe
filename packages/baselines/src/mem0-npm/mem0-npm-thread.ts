import { Worker } from "node:worker_threads";
import { fileURLToPath } from "node:url";
import { type ChatMessage, ConfigError } from "@memory-r1/spec";
import { z } from "zod";

/** A memory as mem0ai gives it. */
export type Mem0Memory = z.infer<typeof memorySchema>;

/** What one `add` came to. */
export type Mem0Added =
  | {
      readonly status: "added";
      readonly memories: readonly Mem0Memory[];
      /** What mem0ai warned of on its console. */
      readonly complaints: readonly string[];
    }
  | { readonly status: "threw"; readonly reason: string };

/** mem0ai's `Memory` in a thread of its own. Calls come one after another. */
export interface Mem0Thread {
  add(call: Mem0AddCall): Promise<Mem0Added>;
  search(call: {
    readonly userId: string;
    readonly query: string;
    readonly count: number;
  }): Promise<readonly Mem0Memory[]>;
  list(userId: string): Promise<readonly Mem0Memory[]>;
  close(): Promise<void>;
}

export interface Mem0AddCall {
  /** What the package's clock says, in milliseconds since 1970. */
  readonly at: number;
  readonly userId: string;
  readonly messages: readonly { readonly role: "user" | "assistant"; readonly content: string }[];
  /** The chat model: one reply to the package's prompt. Its error ends the call, whatever the package makes of it. */
  readonly ask: (messages: readonly ChatMessage[]) => Promise<string>;
}

export interface Mem0ThreadOptions {
  readonly customInstructions: string;
  /** Its error ends the call, too. */
  readonly embed: (texts: readonly string[]) => Promise<readonly Float32Array[]>;
  /** Environment variables of the thread, for a test. Default: telemetry off, no folder. */
  readonly environment?: Readonly<Record<string, string>>;
  /** For a test. Default: `mem0ai/oss`. */
  readonly packageName?: string;
}

const file = new URL("./mem0-npm-worker.mjs", import.meta.url);

/**
 * No telemetry. The package keeps a made-up user id in `MEM0_DIR` even so, or in its memory where it cannot write: there
 * is no folder below a file.
 */
const quietEnvironment = {
  MEM0_TELEMETRY: "false",
  MEM0_DIR: `${fileURLToPath(file)}/none`,
};

const memorySchema = z.object({
  id: z.string(),
  text: z.string(),
  attributedTo: z.string().optional(),
});
const memoriesSchema = z.array(memorySchema);

const chatMessageSchema = z.object({ role: z.enum(["system", "user"]), content: z.string() });

const messageSchema = z.discriminatedUnion("type", [
  z.object({ type: z.literal("ready") }),
  z.object({ type: z.literal("failed"), reason: z.string() }),
  z.object({ type: z.literal("network"), target: z.string() }),
  z.object({ type: z.literal("ask"), id: z.int(), messages: z.array(chatMessageSchema) }),
  // Texts come from a model's reply, and the package does not check that they are any.
  z.object({ type: z.literal("embed"), id: z.int(), texts: z.array(z.unknown()) }),
  z.object({ type: z.literal("done"), value: z.unknown(), complaints: z.array(z.string()) }),
  z.object({ type: z.literal("threw"), reason: z.string(), complaints: z.array(z.string()) }),
]);
type ThreadMessage = z.infer<typeof messageSchema>;

/** How a call ended. */
type Ended = Extract<ThreadMessage, { readonly type: "ready" | "failed" | "done" | "threw" }>;

/**
 * Starts mem0ai with a memory that holds nothing and lives in this process alone.
 * @throws ConfigError where the package is not installed
 */
export async function startMem0Thread(options: Mem0ThreadOptions): Promise<Mem0Thread> {
  const { packageName = "mem0ai/oss", customInstructions } = options;
  const worker = new Worker(file, {
    env: options.environment ?? quietEnvironment,
    workerData: { packageName, customInstructions },
  });
  let waiting: { resolve(ended: Ended): void; reject(error: unknown): void } | undefined;
  let ask: Mem0AddCall["ask"] = () => Promise.reject(new Error("mem0ai asks outside of an add"));
  /** The first thing that went wrong in this call, which mem0ai may have passed over. */
  let failure: Error | undefined;
  /** It tried to leave: from then on no call succeeds, whenever it was. */
  let breach: Error | undefined;

  const fail = (error: unknown): void => {
    failure ??= error instanceof Error ? error : new Error(String(error));
  };
  const answerQuestion = async (id: number, answer: () => Promise<unknown>): Promise<void> => {
    try {
      if (failure !== undefined) throw failure;
      worker.postMessage({ type: "reply", id, value: await answer() });
    } catch (error) {
      fail(error);
      worker.postMessage({ type: "refusal", id, reason: String(error) });
    }
  };
  const receive = (message: ThreadMessage): void => {
    switch (message.type) {
      case "ask":
        void answerQuestion(message.id, () => ask(message.messages));
        return;
      case "embed":
        void answerQuestion(message.id, () => options.embed(message.texts.map(String)));
        return;
      case "network":
        breach ??= new Error(`mem0ai tried to reach ${message.target}; it has no business there`);
        return;
      default:
        waiting?.resolve(message);
    }
  };
  worker.on("message", (message: unknown) => {
    const read = messageSchema.safeParse(message);
    if (read.success) receive(read.data);
    else waiting?.reject(read.error);
  });
  let gone: Error | undefined;
  const end = (error: unknown): void => {
    gone ??= error instanceof Error ? error : new Error(String(error));
    waiting?.reject(gone);
  };
  worker.on("error", end);
  const exited = new Promise<void>((resolve) => {
    worker.on("exit", () => {
      end(new Error("mem0ai's thread has ended"));
      resolve();
    });
  });

  /** Waits for the end of what the thread does now. The process does not end before. */
  const ending = async (start: () => void): Promise<Ended> => {
    if (gone !== undefined) throw gone;
    failure = undefined;
    worker.ref();
    try {
      const ended = await new Promise<Ended>((resolve, reject) => {
        waiting = { resolve, reject };
        start();
      });
      const wrong = breach ?? failure;
      if (wrong !== undefined) throw wrong;
      return ended;
    } finally {
      waiting = undefined;
      worker.unref();
    }
  };
  const call = (message: object): Promise<Ended> => ending(() => worker.postMessage(message));
  const memories = async (message: object): Promise<readonly Mem0Memory[]> => {
    const ended = await call(message);
    if (ended.type !== "done") throw new Error(`mem0ai: ${"reason" in ended ? ended.reason : ""}`);
    return memoriesSchema.parse(ended.value);
  };

  const started = await ending(() => undefined);
  if (started.type === "failed") {
    throw new ConfigError(
      `mem0-npm: ${started.reason}. It runs the npm package mem0ai as it is; install it and what it asks for: npm install mem0ai@3.3.1 @langchain/core@1.4.0`,
    );
  }
  return {
    add: async ({ at, userId, messages, ...given }) => {
      ask = given.ask;
      const ended = await call({ type: "add", at, userId, messages });
      if (ended.type !== "done") {
        return { status: "threw", reason: "reason" in ended ? ended.reason : "" };
      }
      const { complaints } = ended;
      return { status: "added", memories: memoriesSchema.parse(ended.value), complaints };
    },
    search: (given) => memories({ type: "search", ...given }),
    list: (userId) => memories({ type: "list", userId }),
    close: async () => {
      // Not terminated: libsql aborts the whole process when it is interrupted in the middle of a call.
      worker.ref();
      worker.postMessage({ type: "close" });
      await exited;
    },
  };
}
