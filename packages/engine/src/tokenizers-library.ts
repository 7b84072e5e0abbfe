import * as library from "@huggingface/tokenizers";

/** What is used of `Tokenizer` of @huggingface/tokenizers 0.2.0. */
export interface LibraryTokenizer {
  encode(
    text: string,
    options: { readonly add_special_tokens: boolean },
  ): { readonly ids: readonly number[] };
  /** Throws on an empty list. */
  decode(
    ids: readonly number[],
    options: {
      readonly skip_special_tokens: boolean;
      readonly clean_up_tokenization_spaces: boolean;
    },
  ): string;
  token_to_id(token: string): number | undefined;
  id_to_token(id: number): string | undefined;
}

interface Library {
  readonly Tokenizer: new (tokenizer: object, config: object) => LibraryTokenizer;
}

// The package's own declarations import without file extensions, which TypeScript does not resolve for ES modules, so
// that everything of it is untyped: this is the one place that says what it is.
// oxlint-disable-next-line typescript/no-unsafe-assignment
const { Tokenizer }: Library = library;

/** A tokenizer of the parsed tokenizer.json and tokenizer_config.json. Throws an Error for what it does not support. */
export function createLibraryTokenizer(tokenizer: object, config: object): LibraryTokenizer {
  return new Tokenizer(tokenizer, config);
}
