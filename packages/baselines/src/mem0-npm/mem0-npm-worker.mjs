// @ts-check
// Runs mem0ai in a thread of its own: its environment variables are those that the thread was started with, its clock
// stands at the date of the session that is told, and it reaches no network. What it asks of models goes to the parent.
// No TypeScript, because a thread is started from a file that Node can run from src as well as from dist.
/* oxlint-disable typescript/no-unsafe-argument, typescript/no-unsafe-assignment, typescript/no-unsafe-call, typescript/no-unsafe-member-access, typescript/no-unsafe-return, typescript/unbound-method -- JavaScript has no way to narrow what a package that is loaded by name exports */
import { createRequire } from "node:module";
import { Socket } from "node:net";
import { parentPort, workerData } from "node:worker_threads";

/**
 * @typedef {{ role: string, content: string }} Message
 * @typedef {{ id: string, memory: string, attributedTo?: string }} Memory What is used of mem0ai's item.
 * @typedef {{ results: Memory[] }} Memories
 * @typedef {{
 *   add(messages: Message[], options: { userId: string }): Promise<Memories>,
 *   get(id: string): Promise<Memory | null>,
 *   search(query: string, options: { filters: object, topK: number }): Promise<Memories>,
 *   getAll(options: { filters: object, topK: number }): Promise<Memories>,
 * }} Mem0
 * @typedef {{ type: "add", at: number, userId: string, messages: Message[] }
 *   | { type: "search", userId: string, query: string, count: number }
 *   | { type: "list", userId: string }} Call
 * @typedef {{ type: "reply", id: number, value: unknown } | { type: "refusal", id: number, reason: string }} Answer
 * @typedef {{ getType(): string, content: string }} ChatMessage What is used of LangChain's message.
 * @typedef {{ all(...values: unknown[]): Record<string, unknown>[] }} Statement
 */

const port = parentPort;
if (port === null) throw new Error("mem0-npm-worker.mjs is started as a worker thread");

/** @type {{ packageName: string, customInstructions: string }} */
const { packageName, customInstructions } = workerData;

/** What mem0ai said on its console since the last call. @type {string[]} */
let complaints = [];
/** Milliseconds since 1970. */
let clock = 0;
/** Questions to the parent that are open. @type {Map<number, { resolve(value: unknown): void, reject(error: Error): void }>} */
const open = new Map();
let asked = 0;

shutNetwork();
setClock();
quietConsole();
try {
  const memory = createMemory();
  port.on("message", (/** @type {Call | Answer | { type: "close" }} */ message) => {
    if (message.type === "reply" || message.type === "refusal") settle(message);
    else if (message.type === "close") port.close();
    else void serve(memory, message);
  });
  port.postMessage({ type: "ready" });
} catch (error) {
  port.postMessage({ type: "failed", reason: String(error) });
}

/** @returns {Mem0} */
function createMemory() {
  const require = createRequire(import.meta.url);
  // The build for `require`: the one for `import` cannot load compromise, which it needs to find entities by grammar.
  const { Memory } = require(packageName);
  const ofPackage = createRequire(require.resolve(packageName));
  giveBuffers(ofPackage("better-sqlite3"));
  // mem0ai loads it with the first message; without it, that is where it would fail.
  ofPackage.resolve("@langchain/core/messages");
  return new Memory({
    customInstructions,
    llm: { provider: "langchain", config: { model: { invoke } } },
    embedder: { provider: "langchain", config: { model: { embedQuery, embedDocuments } } },
    vectorStore: { provider: "memory", config: { dbPath: ":memory:" } },
    historyStore: { provider: "sqlite", config: { historyDbPath: ":memory:" } },
  });
}

/**
 * @param {Mem0} memory
 * @param {Call} call
 */
async function serve(memory, call) {
  complaints = [];
  try {
    const value = await answer(memory, call);
    port?.postMessage({ type: "done", value, complaints });
  } catch (error) {
    port?.postMessage({ type: "threw", reason: String(error), complaints });
  }
}

/**
 * @param {Mem0} memory
 * @param {Call} call
 */
async function answer(memory, call) {
  switch (call.type) {
    case "add": {
      clock = call.at;
      const { results } = await memory.add(call.messages, { userId: call.userId });
      return Promise.all(results.map(async ({ id }) => describe(await memory.get(id))));
    }
    case "search": {
      const filters = { user_id: call.userId };
      return (await memory.search(call.query, { filters, topK: call.count })).results.map(describe);
    }
    case "list": {
      const filters = { user_id: call.userId };
      return (await memory.getAll({ filters, topK: 1_000_000 })).results.map(describe);
    }
  }
}

/** @param {Memory | null} item */
function describe(item) {
  if (item === null) throw new Error("a memory that was added is not there");
  return { id: item.id, text: item.memory, attributedTo: item.attributedTo };
}

/**
 * The model, as mem0ai's provider "langchain" calls it.
 * @param {ChatMessage[]} messages
 */
async function invoke(messages) {
  const value = messages.map((message) => ({
    role: message.getType() === "system" ? "system" : "user",
    content: message.content,
  }));
  return { content: await ask({ type: "ask", messages: value }) };
}

/** @param {string} text */
async function embedQuery(text) {
  return (await embedDocuments([text]))[0];
}

/**
 * @param {string[]} texts
 * @returns {Promise<number[][]>}
 */
async function embedDocuments(texts) {
  const vectors = await ask({ type: "embed", texts });
  if (!Array.isArray(vectors)) throw new Error("no vectors came");
  return vectors.map((vector) => Array.from(vector));
}

/**
 * @param {object} question
 * @returns {Promise<unknown>}
 */
function ask(question) {
  asked += 1;
  const id = asked;
  return new Promise((resolve, reject) => {
    open.set(id, { resolve, reject });
    port?.postMessage({ ...question, id });
  });
}

/** @param {Answer} message */
function settle(message) {
  const question = open.get(message.id);
  open.delete(message.id);
  if (message.type === "reply") question?.resolve(message.value);
  else question?.reject(new Error(message.reason));
}

/** Nothing goes out, and what tries to is told to the parent, because mem0ai passes over it. */
function shutNetwork() {
  /** @param {unknown} target */
  const refuse = (target) => {
    port?.postMessage({ type: "network", target: JSON.stringify(target) });
    return new Error("this thread reaches no network");
  };
  Socket.prototype.connect = (...target) => {
    throw refuse(target[0]);
  };
  globalThis.fetch = (target) =>
    Promise.reject(refuse(target instanceof Request ? target.url : target.toString()));
}

/** Whoever asks for the time is told that of the session. */
function setClock() {
  globalThis.Date = new Proxy(Date, {
    construct: (target, given, newTarget) =>
      Reflect.construct(target, given.length === 0 ? [clock] : given, newTarget),
    get: (target, key, receiver) =>
      key === "now" ? () => clock : Reflect.get(target, key, receiver),
  });
}

/** The program's output is for data: what mem0ai warns of is given to the parent. */
function quietConsole() {
  /** @param {unknown[]} words */
  const keep = (...words) => {
    complaints.push(words.map(String).join(" "));
  };
  const drop = () => undefined;
  Object.assign(console, { error: keep, warn: keep, log: drop, info: drop, debug: drop });
}

/**
 * libsql, which stands in for better-sqlite3 where nothing is compiled, gives the blobs of `all` as ArrayBuffers in the
 * place of Buffers, which mem0ai would read as empty vectors.
 * @param {new (path: string) => { prepare(sql: string): Statement, close(): void }} Database
 */
function giveBuffers(Database) {
  const database = new Database(":memory:");
  const statement = database.prepare("SELECT x'00' AS blob");
  const needsBuffers = statement.all()[0]?.blob instanceof ArrayBuffer;
  database.close();
  if (!needsBuffers) return;
  /** @type {Statement} */
  const shared = Object.getPrototypeOf(statement);
  const all = shared.all;
  shared.all = function (...values) {
    const rows = all.apply(this, values);
    for (const row of rows) {
      for (const [column, value] of Object.entries(row)) {
        if (value instanceof ArrayBuffer) row[column] = Buffer.from(value);
      }
    }
    return rows;
  };
}
