import { createRandom, deriveSeed, parseJson, type Random } from "@memory-r1/spec";
import { z } from "zod";

/** Files of a data set by name. */
export type Files = Readonly<Record<string, Uint8Array>>;

/** One damaged copy of a data set's files. */
export interface Mutant {
  /** What was done, with the place, for messages. */
  readonly description: string;
  readonly files: Files;
  /** The file that was changed. */
  readonly file: string;
  /**
   * - `harmless`: means the same, so it must be read as the same.
   * - `fatal`: no reader can know what was meant, so it must be refused.
   * - `unknown`: either is right, as long as nothing is lost in silence.
   */
  readonly kind: "harmless" | "fatal" | "unknown";
  /** Whether one field of sound JSON was changed, so that a refusal must name a field. */
  readonly changesField: boolean;
}

export interface MutationOptions {
  readonly files: Files;
  /** One document a file, or one a line. */
  readonly format: "json" | "json-lines";
  /** Whether the format cannot do without this field; paths as `3.conversation.session_1.0.text`, without the line. */
  readonly isRequired: (path: string, file: string) => boolean;
  /** Fields whose values must differ: equal groups must not hold equal values; undefined: no such field. */
  readonly uniqueGroup: (path: string, file: string) => string | undefined;
}

/** A JSON document of a file: all of it, or a line. */
interface Document {
  readonly file: string;
  readonly index: number;
  readonly value: unknown;
  /** Everything in the value, itself first. */
  readonly nodes: readonly Node[];
}

type Path = readonly (string | number)[];

interface Node {
  readonly path: Path;
  readonly value: unknown;
}

interface Workbench {
  readonly options: MutationOptions;
  readonly random: Random;
  readonly documents: readonly Document[];
}

type Made = Omit<Mutant, "description"> & { readonly detail: string };
type Mutation = (bench: Workbench) => Made;

const encoder = new TextEncoder();
const decoder = new TextDecoder();
const json = z.unknown();

/** Stands for a piece of text that JSON.stringify cannot write; unique enough to be replaced afterwards. */
const placeholder = "@@placeholder@@";

function pick<T>(random: Random, items: readonly T[]): T {
  const item = items[Math.floor(random() * items.length)];
  if (item === undefined) throw new RangeError("nothing to pick from");
  return item;
}

/** Items by a key of theirs, in the order in which the keys appear. */
export function groupBy<T, Key>(items: readonly T[], keyOf: (item: T) => Key): Map<Key, T[]> {
  const groups = new Map<Key, T[]>();
  for (const item of items) groups.set(keyOf(item), [...(groups.get(keyOf(item)) ?? []), item]);
  return groups;
}

function readDocuments({ files, format }: MutationOptions): Document[] {
  return Object.entries(files).flatMap(([file, bytes]) => {
    const text = decoder.decode(bytes);
    const parts = format === "json" ? [text] : text.split("\n").filter((line) => line !== "");
    return parts.map((part, index) => {
      const value = parseJson(part, json, file);
      return { file, index, value, nodes: nodesOf(value) };
    });
  });
}

function nodesOf(value: unknown, path: Path = []): Node[] {
  const here = [{ path, value }];
  if (Array.isArray(value)) {
    return here.concat(value.flatMap((item, index) => nodesOf(item, [...path, index])));
  }
  if (typeof value !== "object" || value === null) return here;
  return here.concat(Object.entries(value).flatMap(([key, item]) => nodesOf(item, [...path, key])));
}

/** A copy with another value at a path; `undefined` removes the field or item. */
function withValueAt(target: unknown, path: Path, value: unknown): unknown {
  const [key, ...rest] = path;
  if (key === undefined) return value;
  if (Array.isArray(target)) {
    return target.flatMap((item: unknown, index) => {
      if (index !== key) return [item];
      const changed = withValueAt(item, rest, value);
      return changed === undefined ? [] : [changed];
    });
  }
  if (typeof target !== "object" || target === null) throw new RangeError("no such path");
  return Object.fromEntries(
    Object.entries(target).flatMap(([name, item]) => {
      const changed: unknown = name === key ? withValueAt(item, rest, value) : item;
      return changed === undefined ? [] : [[name, changed]];
    }),
  );
}

function shuffleKeys(value: unknown, random: Random): unknown {
  if (Array.isArray(value)) return value.map((item) => shuffleKeys(item, random));
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .map(([key, item]) => ({ key, item: shuffleKeys(item, random), rank: random() }))
      .sort((one, other) => one.rank - other.rank)
      .map(({ key, item }) => [key, item]),
  );
}

/** The files again, with one file's documents written by `write`. */
function rewrite(
  { options, documents }: Workbench,
  file: string,
  write: (document: Document) => string | readonly string[],
): Files {
  const texts = documents.filter((one) => one.file === file).flatMap(write);
  const text =
    options.format === "json" ? texts.join("") : texts.map((line) => `${line}\n`).join("");
  return { ...options.files, [file]: encoder.encode(text) };
}

const compact = ({ value }: Document): string => JSON.stringify(value);

/** Changes one document; the others are written as they are. */
function changeDocument(
  bench: Workbench,
  document: Document,
  write: (value: unknown) => string,
): Files {
  return rewrite(bench, document.file, (one) =>
    one === document ? write(one.value) : compact(one),
  );
}

interface Choice {
  readonly document: Document;
  readonly node: Node;
}

function chooseNode(bench: Workbench, accept: (node: Node) => boolean): Choice {
  const document = pick(
    bench.random,
    bench.documents.filter(({ nodes }) => nodes.some(accept)),
  );
  return { document, node: pick(bench.random, document.nodes.filter(accept)) };
}

const describe = ({ document, node }: Choice): string =>
  `${document.file} #${document.index} ${node.path.join(".")}`;

const isText = ({ value }: Node): boolean => typeof value === "string";
const isObject = ({ value }: Node): boolean =>
  typeof value === "object" && value !== null && !Array.isArray(value);
const isField = ({ path }: Node): boolean => typeof path.at(-1) === "string";
const isItem = ({ path }: Node): boolean => typeof path.at(-1) === "number";
const isBelowRoot = ({ path }: Node): boolean => path.length > 0;

function fieldsOf(value: unknown): Record<string, unknown> {
  return typeof value === "object" && value !== null ? { ...value } : {};
}

/** Replaces a node by a value, or by raw text that need not be JSON. */
function replaceNode(
  accept: (node: Node) => boolean,
  replacement: (
    bench: Workbench,
    node: Node,
  ) => { readonly value: unknown } | { readonly raw: string },
  kind: Mutant["kind"],
  changesField = true,
): Mutation {
  return (bench) => {
    const choice = chooseNode(bench, accept);
    const { document, node } = choice;
    const made = replacement(bench, node);
    const files = changeDocument(bench, document, (value) =>
      "raw" in made
        ? JSON.stringify(withValueAt(value, node.path, placeholder)).replace(
            `"${placeholder}"`,
            // As a function: `$` has no meaning then.
            () => made.raw,
          )
        : JSON.stringify(withValueAt(value, node.path, made.value)),
    );
    return { detail: describe(choice), files, file: document.file, kind, changesField };
  };
}

/** Changes the bytes of one whole file. */
function changeBytes(
  change: (bytes: Uint8Array, random: Random) => Uint8Array,
  kind: Mutant["kind"],
): Mutation {
  return ({ options, random }) => {
    const file = pick(random, Object.keys(options.files));
    const files = {
      ...options.files,
      [file]: change(options.files[file] ?? new Uint8Array(), random),
    };
    return { detail: file, files, file, kind, changesField: false };
  };
}

/** Writes one whole file anew, document by document. */
function changeWriting(
  write: (value: unknown, random: Random, format: MutationOptions["format"]) => string,
): Mutation {
  return (bench) => {
    const file = pick(bench.random, Object.keys(bench.options.files));
    const files = rewrite(bench, file, ({ value }) =>
      write(value, bench.random, bench.options.format),
    );
    return { detail: file, files, file, kind: "harmless", changesField: false };
  };
}

const utf16 = (text: string, isBigEndian: boolean): Uint8Array => {
  const bytes = Buffer.from(text, "utf16le");
  return isBigEndian ? bytes.swap16() : bytes;
};

const escapeUnit = (unit: string): string =>
  `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`;

const otherValues: readonly unknown[] = [null, 7, -1.5, true, "", "a text", [], {}, [[]], { a: 1 }];

const mutations: Readonly<Record<string, Mutation>> = {
  "cut off": changeBytes(
    (bytes, random) => bytes.subarray(0, 1 + Math.floor(random() * (bytes.length - 2))),
    "unknown",
  ),
  empty: changeBytes(() => new Uint8Array(), "fatal"),
  "one byte changed": changeBytes((bytes, random) => {
    const copy = Uint8Array.from(bytes);
    copy[Math.floor(random() * copy.length)] = Math.floor(random() * 256);
    return copy;
  }, "unknown"),
  "byte order mark": changeBytes(
    (bytes) => Buffer.concat([Buffer.from([0xef, 0xbb, 0xbf]), bytes]),
    "harmless",
  ),
  "Windows line ends": changeBytes(
    (bytes) => encoder.encode(decoder.decode(bytes).replaceAll("\n", "\r\n")),
    "harmless",
  ),
  "UTF-16 with mark": changeBytes((bytes, random) => {
    const isBigEndian = random() < 0.5;
    return utf16(`\ufeff${decoder.decode(bytes)}`, isBigEndian);
  }, "fatal"),
  "UTF-16 without mark": changeBytes(
    (bytes, random) => utf16(decoder.decode(bytes), random() < 0.5),
    "fatal",
  ),
  "Latin-1": (bench) => {
    const choice = chooseNode(bench, isText);
    const { document, node } = choice;
    const files = changeDocument(bench, document, (value) =>
      JSON.stringify(withValueAt(value, node.path, `caf\u00e9 ${String(node.value)}`)),
    );
    const bytes = Buffer.from(decoder.decode(files[document.file]), "latin1");
    return {
      detail: describe(choice),
      files: { ...files, [document.file]: bytes },
      file: document.file,
      kind: "fatal",
      changesField: false,
    };
  },
  "keys in another order": changeWriting((value, random) =>
    JSON.stringify(shuffleKeys(value, random)),
  ),
  "other white space": changeWriting((value, _, format) =>
    format === "json"
      ? `\n\t${JSON.stringify(value, null, 3)} \r\n`
      : ` \t${JSON.stringify(value)}  `,
  ),
  "escaped characters": changeWriting((value) =>
    JSON.stringify(value).replaceAll(/"(?:[^"\\]|\\.)*"/g, (written) =>
      written.replaceAll(/[^\u0020-\u007e]|(?<=[a-z])[a-e](?=[a-z])/g, escapeUnit),
    ),
  ),
  "no number": replaceNode(
    (node) => typeof node.value === "number" || isText(node),
    ({ random }) => ({ raw: pick(random, ["NaN", "Infinity", "-Infinity", "1e999", "-1e999"]) }),
    "fatal",
    false,
  ),
  "another type": replaceNode(
    isBelowRoot,
    ({ random }, node) => ({
      value: pick(
        random,
        otherValues.filter((value) => typeof value !== typeof node.value),
      ),
    }),
    "unknown",
  ),
  "another root": replaceNode(
    (node) => !isBelowRoot(node),
    ({ random }) => ({ value: pick(random, [null, 3, "text", true]) }),
    "fatal",
    false,
  ),
  "a field missing": (bench) => {
    const choice = chooseNode(bench, isField);
    const { document, node } = choice;
    const isRequired = bench.options.isRequired(node.path.join("."), document.file);
    return {
      detail: describe(choice),
      files: changeDocument(bench, document, (value) =>
        JSON.stringify(withValueAt(value, node.path, undefined)),
      ),
      file: document.file,
      kind: isRequired ? "fatal" : "unknown",
      changesField: true,
    };
  },
  "an id missing": (bench) => {
    const { isRequired, uniqueGroup } = bench.options;
    const choice = chooseNode(bench, isField);
    const ids = bench.documents.flatMap((document) =>
      document.nodes
        .filter(({ path }) => uniqueGroup(path.join("."), document.file) !== undefined)
        .map((node) => ({ document, node })),
    );
    const { document, node } = ids.length === 0 ? choice : pick(bench.random, ids);
    return {
      detail: describe({ document, node }),
      files: changeDocument(bench, document, (value) =>
        JSON.stringify(withValueAt(value, node.path, undefined)),
      ),
      file: document.file,
      kind: isRequired(node.path.join("."), document.file) ? "fatal" : "unknown",
      changesField: true,
    };
  },
  "an id twice": (bench) => {
    const { uniqueGroup } = bench.options;
    const groups = groupBy(
      bench.documents.flatMap((document) =>
        document.nodes.flatMap((node) => {
          const group = uniqueGroup(node.path.join("."), document.file);
          // Ids of a line stand alone, or are unique in that line.
          return group === undefined
            ? []
            : [{ document, node, group: group.replace("<line>", `${document.index}`) }];
        }),
      ),
      ({ group }) => group,
    );
    const candidates = [...groups.values()].filter((members) => members.length > 1);
    // A format without ids.
    if (candidates.length === 0) {
      const { files } = bench.options;
      const [file = ""] = Object.keys(files);
      return { detail: "nothing", files, file, kind: "harmless", changesField: false };
    }
    const group = pick(bench.random, candidates);
    const first = pick(bench.random, group);
    const second = pick(
      bench.random,
      group.filter((member) => member !== first),
    );
    return {
      detail: `${describe(second)} as ${describe(first)}`,
      files: changeDocument(bench, second.document, (value) =>
        JSON.stringify(withValueAt(value, second.node.path, first.node.value)),
      ),
      file: second.document.file,
      kind: "fatal",
      changesField: true,
    };
  },
  "an item twice": (bench) => {
    const choice = chooseNode(bench, isItem);
    const { document, node } = choice;
    const parent = node.path.slice(0, -1);
    const list = document.nodes.find(({ path }) => path.join(".") === parent.join("."));
    const items: readonly unknown[] = Array.isArray(list?.value) ? list.value : [];
    const doubled = [...items, node.value];
    return {
      detail: describe(choice),
      files: changeDocument(bench, document, (value) =>
        JSON.stringify(withValueAt(value, parent, doubled)),
      ),
      file: document.file,
      kind: "unknown",
      changesField: true,
    };
  },
  "a key twice": replaceNode(
    (node) => isObject(node) && Object.keys(fieldsOf(node.value)).length > 0,
    ({ random }, node) => {
      const entries = Object.entries(fieldsOf(node.value));
      const [key] = pick(random, entries);
      const written = JSON.stringify(node.value).slice(1, -1);
      const again = `${JSON.stringify(key)}:${JSON.stringify(pick(random, otherValues))}`;
      return { raw: random() < 0.5 ? `{${written},${again}}` : `{${again},${written}}` };
    },
    "fatal",
  ),
  "an unknown key": replaceNode(
    isObject,
    ({ random }, node) => ({
      value: {
        ...fieldsOf(node.value),
        [`extra-${Math.floor(random() * 1e6)}`]: pick(random, otherValues),
      },
    }),
    "unknown",
  ),
  "the key __proto__": replaceNode(
    isObject,
    (_, node) => {
      const written = JSON.stringify(node.value).slice(1, -1);
      return { raw: `{${written}${written === "" ? "" : ","}"__proto__":{"text":"lost"}}` };
    },
    "fatal",
  ),
  "nested without end": replaceNode(
    () => true,
    ({ random }) => {
      const depth = pick(random, [150, 5_000, 200_000]);
      return {
        raw:
          random() < 0.5
            ? "[".repeat(depth) + "]".repeat(depth)
            : '{"a":'.repeat(depth) + "1" + "}".repeat(depth),
      };
    },
    "fatal",
    false,
  ),
  "a huge text": replaceNode(
    isText,
    ({ random }) => ({ value: `huge ${random()} `.repeat(10_000) }),
    "unknown",
  ),
  "an empty text": replaceNode(isText, () => ({ value: "" }), "unknown"),
  "other characters": replaceNode(
    isText,
    ({ random }, { value }) => ({
      value: `${String(value)} ${pick(random, ["\u0000", "\u001b[31m", "\u202e", "\ud83d\udc1d", "e\u0301", "\ufeff", "\u2028"])} ${random()}`,
    }),
    "unknown",
  ),
  "a raw control character": replaceNode(
    isText,
    ({ random }, { value }) => {
      const written = JSON.stringify(value);
      const control = String.fromCharCode(Math.floor(random() * 0x20));
      return { raw: `${written.slice(0, -1)}${control}"` };
    },
    "fatal",
    false,
  ),
  "half of a surrogate pair": replaceNode(
    isText,
    ({ random }, { value }) => ({
      raw: `${JSON.stringify(value).slice(0, -1)}${pick(random, ["\\ud83d", "\\udc1d", "\\ud83dx"])}"`,
    }),
    "fatal",
    false,
  ),
  "an unknown id": replaceNode(
    (node) => isText(node) && isItem(node),
    ({ random }) => ({ value: pick(random, ["D99:1", "D", "nothing", "D1:1 D99:9", " "]) }),
    "unknown",
  ),
};

/**
 * Damaged copies of a data set's files: every kind of damage in turn, its place drawn by seed. Equal arguments give
 * equal mutants.
 */
export function* makeMutants(options: MutationOptions, count: number): Generator<Mutant> {
  const documents = readDocuments(options);
  const kinds = Object.entries(mutations);
  for (let number = 0; number < count; number++) {
    const [name, mutate] = kinds[number % kinds.length] ?? ["", undefined];
    if (mutate === undefined) continue;
    const random = createRandom(deriveSeed("mutation", ...Object.keys(options.files), number));
    const { detail, ...mutant } = mutate({ options, random, documents });
    yield { ...mutant, description: `mutant ${number}: ${name} in ${detail}` };
  }
}
