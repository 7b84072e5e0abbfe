import { join } from "node:path";
import { Template } from "@huggingface/jinja";
import { ConfigError, DataFormatError, parseJson, type ChatMessage } from "@memory-r1/spec";
import { z } from "zod";
import { readOptional } from "./files.ts";
import { createLibraryTokenizer, type LibraryTokenizer } from "./tokenizers-library.ts";

/**
 * Text to token ids and back, equal to Python's transformers for the same model directory. Special tokens are never
 * added: a chat template writes them itself. Their spellings become special tokens in `encode`, as in Python, and stay
 * plain text inside the messages of a chat (`encodeChat`), unlike in Python: what someone said must not end their turn.
 */
export interface ChatTokenizer {
  /** Ids of a text; lone surrogates (half an emoji) count as U+FFFD. */
  encode(text: string): readonly number[];
  /**
   * Ids of `renderChat`, as Python's `apply_chat_template(messages, tokenize=True)`, but for spellings of special tokens
   * inside a message: each is encoded as its first character and the rest, apart (as chat.py of engine-torch does).
   */
  encodeChat(
    messages: readonly ChatMessage[],
    options?: { readonly addGenerationPrompt?: boolean },
  ): readonly number[];
  /** The chat as the model's template writes it. `addGenerationPrompt` (default true) opens the assistant's turn. */
  renderChat(
    messages: readonly ChatMessage[],
    options?: { readonly addGenerationPrompt?: boolean },
  ): string;
  /** Text of ids; bytes that are no UTF-8 become U+FFFD, ids that the model lacks nothing. Default: specials are kept. */
  decode(ids: readonly number[], options?: { readonly skipSpecialTokens?: boolean }): string;
  /** Every id that ends a turn of this model (tokenizer_config.json and generation_config.json). */
  readonly eosTokenIds: readonly number[];
}

const addedTokenSchema = z.union([z.string(), z.looseObject({ content: z.string() })]);

const tokenizerConfigSchema = z.looseObject({
  bos_token: addedTokenSchema.nullish(),
  eos_token: addedTokenSchema.nullish(),
  unk_token: addedTokenSchema.nullish(),
  pad_token: addedTokenSchema.nullish(),
  sep_token: addedTokenSchema.nullish(),
  cls_token: addedTokenSchema.nullish(),
  mask_token: addedTokenSchema.nullish(),
  clean_up_tokenization_spaces: z.boolean().nullish(),
  chat_template: z
    .union([z.string(), z.array(z.object({ name: z.string(), template: z.string() }))])
    .nullish(),
});
type TokenizerConfig = z.infer<typeof tokenizerConfigSchema>;

const specialTokenNames = [
  "bos_token",
  "eos_token",
  "unk_token",
  "sep_token",
  "pad_token",
  "cls_token",
  "mask_token",
] as const;

const generationConfigSchema = z.looseObject({
  eos_token_id: z.union([z.number(), z.array(z.number())]).nullish(),
});

const preTokenizerSchema = z.looseObject({
  type: z.string(),
  add_prefix_space: z.boolean().optional(),
  use_regex: z.boolean().optional(),
  individual_digits: z.boolean().optional(),
  pretokenizers: z.array(z.looseObject({ type: z.string() })).optional(),
});
type PreTokenizer = z.infer<typeof preTokenizerSchema>;

const tokenizerFileSchema = z.looseObject({
  model: z.looseObject({}),
  added_tokens: z.array(
    z.looseObject({ content: z.string().optional(), special: z.boolean().optional() }),
  ),
  pre_tokenizer: preTokenizerSchema.nullish(),
});

/** GPT-2's split, as tokenizers writes it (huggingface/tokenizers, pre_tokenizers/byte_level.rs). */
const byteLevelPattern = String.raw`'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`;

const isolate = (regex: string): PreTokenizer => ({
  type: "Split",
  pattern: { Regex: regex },
  behavior: "Isolated",
  invert: false,
});

/**
 * The same pre-tokenizer in terms that @huggingface/tokenizers 0.2.0 runs as Python's tokenizers does. Its own
 * `ByteLevel` splits with JavaScript's `\s`, which takes U+FEFF for a space and U+0085 for none, and its own `Digits`
 * knows ASCII digits only (Python: every character of category N). Patterns of a `Split` it translates rightly.
 */
function asPythonRunsIt(preTokenizer: PreTokenizer): PreTokenizer {
  switch (preTokenizer.type) {
    case "Sequence": {
      const parts = (preTokenizer.pretokenizers ?? []).map((part) =>
        asPythonRunsIt(preTokenizerSchema.parse(part)),
      );
      return { ...preTokenizer, pretokenizers: parts };
    }
    case "Digits":
      return isolate(
        preTokenizer.individual_digits === true ? String.raw`\p{N}` : String.raw`\p{N}+`,
      );
    case "ByteLevel":
      // A prefix space is added before the split, so that the two cannot be taken apart.
      if (preTokenizer.use_regex === false || preTokenizer.add_prefix_space === true)
        return preTokenizer;
      return {
        type: "Sequence",
        pretokenizers: [isolate(byteLevelPattern), { ...preTokenizer, use_regex: false }],
      };
    default:
      return preTokenizer;
  }
}

/** Python's `strip` takes these for white space and JavaScript's `trim` does not. */
const spacesOfPythonOnly: readonly string[] = ["\u001c", "\u001d", "\u001e", "\u001f", "\u0085"];
/** JavaScript's `trim` takes it for white space and Python's `strip` does not. */
const spaceOfJavaScriptOnly = "\ufeff";
const spacesOfBoth: readonly string[] = "\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006".split(
  "",
);
const spacesOfNeither: readonly string[] = "\uf8f0\uf8f1\uf8f2\uf8f3".split("");

/**
 * Stand-ins under which a template's `trim` in JavaScript trims what Python's would: characters on which the two
 * disagree, each with one on which they agree and which `present` does not contain.
 */
function trimStandIns(present: string): readonly (readonly [string, string])[] {
  const pairs: (readonly [string, string])[] = [];
  const take = (character: string, candidates: readonly string[]): void => {
    if (!present.includes(character)) return;
    const free = candidates.find(
      (candidate) =>
        !present.includes(candidate) && !pairs.some(([, taken]) => taken === candidate),
    );
    if (free !== undefined) pairs.push([character, free]);
  };
  for (const space of spacesOfPythonOnly) take(space, spacesOfBoth);
  take(spaceOfJavaScriptOnly, spacesOfNeither);
  return pairs;
}

/**
 * The messages with a mark after the first character of every special token's spelling: the parts between the marks hold
 * no such spelling. Undefined: there is none. The mark is a character of no meaning that the messages do not contain.
 */
function markControlTokens(
  messages: readonly ChatMessage[],
  controlTokens: readonly string[],
): { readonly messages: readonly ChatMessage[]; readonly mark: string } | undefined {
  const all = messages.map(({ content }) => content).join("");
  const present = controlTokens.filter((token) => all.includes(token));
  if (present.length === 0) return undefined;
  let code = 0xe000;
  while (all.includes(String.fromCharCode(code))) code += 1;
  const mark = String.fromCharCode(code);
  const broken = (content: string): string =>
    present.reduce((text, token) => {
      const [first = ""] = token;
      return text.replaceAll(token, () => `${first}${mark}${token.slice(first.length)}`);
    }, content);
  return {
    messages: messages.map(({ role, content }) => ({ role, content: broken(content) })),
    mark,
  };
}

async function readRequired(directory: string, name: string): Promise<string> {
  const text = await readOptional(join(directory, name));
  if (text === undefined)
    throw new ConfigError(
      `${directory} has no ${name}: give the directory of a Hugging Face model with a fast tokenizer`,
    );
  return text;
}

/** The template of conversations: the file beside the tokenizer (newer transformers) wins over the config's field. */
function chatTemplateOf(config: TokenizerConfig, file: string | undefined): string | undefined {
  if (file !== undefined) return file;
  const template = config.chat_template ?? undefined;
  if (template === undefined || typeof template === "string") return template;
  return template.find((entry) => entry.name === "default")?.template;
}

/** Reads tokenizer.json, tokenizer_config.json and the chat template of a Hugging Face model directory.
 *  @throws ConfigError where a file is missing, DataFormatError where one is malformed. */
export async function loadChatTokenizer(modelDirectory: string): Promise<ChatTokenizer> {
  const tokenizerPath = join(modelDirectory, "tokenizer.json");
  // First and alone: of several missing files it is the one that is named, whichever is looked for faster.
  const tokenizerText = await readRequired(modelDirectory, "tokenizer.json");
  const [configText, templateText, generationText] = await Promise.all([
    readRequired(modelDirectory, "tokenizer_config.json"),
    readOptional(join(modelDirectory, "chat_template.jinja")),
    readOptional(join(modelDirectory, "generation_config.json")),
  ]);
  const file = parseJson(tokenizerText, tokenizerFileSchema, tokenizerPath);
  const config = parseJson(
    configText,
    tokenizerConfigSchema,
    join(modelDirectory, "tokenizer_config.json"),
  );
  const generation =
    generationText === undefined
      ? {}
      : parseJson(
          generationText,
          generationConfigSchema,
          join(modelDirectory, "generation_config.json"),
        );

  let tokenizer: LibraryTokenizer;
  try {
    tokenizer = createLibraryTokenizer(
      file.pre_tokenizer ? { ...file, pre_tokenizer: asPythonRunsIt(file.pre_tokenizer) } : file,
      config,
    );
  } catch (cause) {
    throw new DataFormatError({
      source: tokenizerPath,
      path: "",
      problem: `this tokenizer cannot be loaded: ${cause instanceof Error ? cause.message : String(cause)}`,
      fix: "use a model with a tokenizer.json of Hugging Face tokenizers",
      cause,
    });
  }

  const specialTokens: Record<string, string> = {};
  for (const name of specialTokenNames) {
    const token = config[name] ?? undefined;
    if (token !== undefined)
      specialTokens[name] = typeof token === "string" ? token : token.content;
  }

  const eosTokenIds = new Set<number>();
  const eosToken = specialTokens.eos_token;
  const configuredEos = eosToken === undefined ? undefined : tokenizer.token_to_id(eosToken);
  if (configuredEos !== undefined) eosTokenIds.add(configuredEos);
  for (const id of [generation.eos_token_id ?? []].flat()) eosTokenIds.add(id);

  const templateSource = chatTemplateOf(config, templateText);
  const template = templateSource === undefined ? undefined : new Template(templateSource);

  const encode = (text: string): readonly number[] =>
    text === "" ? [] : tokenizer.encode(text, { add_special_tokens: false }).ids;

  // Longer ones first, so that none is found as a part of another.
  const controlTokens = file.added_tokens
    .flatMap(({ content, special }) =>
      special === true && content !== undefined && content.length > 1 ? [content] : [],
    )
    .toSorted((left, right) => right.length - left.length);

  const renderChat: ChatTokenizer["renderChat"] = (messages, options) => {
    if (template === undefined)
      throw new ConfigError(
        `the model in ${modelDirectory} has no chat template: use an instruction-tuned model`,
      );
    const standIns = trimStandIns(
      [templateSource, ...messages.map(({ content }) => content)].join(""),
    );
    // The same names that transformers passes (apply_chat_template).
    const rendered = template.render({
      messages: messages.map(({ role, content }) => ({
        role,
        content: standIns.reduce((text, [from, to]) => text.replaceAll(from, to), content),
      })),
      tools: null,
      documents: null,
      add_generation_prompt: options?.addGenerationPrompt ?? true,
      ...specialTokens,
    });
    return standIns.reduce((text, [from, to]) => text.replaceAll(to, from), rendered);
  };

  return {
    encode,
    renderChat,
    encodeChat: (messages, options) => {
      const marked = markControlTokens(messages, controlTokens);
      if (marked === undefined) return encode(renderChat(messages, options));
      return renderChat(marked.messages, options)
        .split(marked.mark)
        .flatMap((part) => encode(part));
    },
    decode(ids, options) {
      const known = ids.filter((id) => tokenizer.id_to_token(id) !== undefined);
      if (known.length === 0) return "";
      return tokenizer.decode(known, {
        skip_special_tokens: options?.skipSpecialTokens ?? false,
        clean_up_tokenization_spaces: config.clean_up_tokenization_spaces ?? false,
      });
    },
    eosTokenIds: [...eosTokenIds],
  };
}
