import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createRandom, type Random } from "@memory-r1/spec";

const size = { vocabulary: 260, hidden: 16, inner: 24, positions: 64, layers: 1 };

/** Uniform numbers around 0. */
function drawTensor(random: Random, count: number, spread: number): number[] {
  return Array.from({ length: count }, () => spread * (random() - 0.5));
}

/** Name to shape of a BERT with a head for one score, as transformers saves it. */
function tensorShapes(): Readonly<Record<string, readonly number[]>> {
  const { vocabulary, hidden, inner, positions, layers } = size;
  const norm = (name: string) => ({ [`${name}.weight`]: [hidden], [`${name}.bias`]: [hidden] });
  const linear = (name: string, outputs: number, inputs: number) => ({
    [`${name}.weight`]: [outputs, inputs],
    [`${name}.bias`]: [outputs],
  });
  const layer = (name: string) => ({
    ...linear(`${name}.attention.self.query`, hidden, hidden),
    ...linear(`${name}.attention.self.key`, hidden, hidden),
    ...linear(`${name}.attention.self.value`, hidden, hidden),
    ...linear(`${name}.attention.output.dense`, hidden, hidden),
    ...norm(`${name}.attention.output.LayerNorm`),
    ...linear(`${name}.intermediate.dense`, inner, hidden),
    ...linear(`${name}.output.dense`, hidden, inner),
    ...norm(`${name}.output.LayerNorm`),
  });
  return {
    "bert.embeddings.word_embeddings.weight": [vocabulary, hidden],
    "bert.embeddings.position_embeddings.weight": [positions, hidden],
    "bert.embeddings.token_type_embeddings.weight": [2, hidden],
    ...norm("bert.embeddings.LayerNorm"),
    ...Object.fromEntries(
      Array.from({ length: layers }, (_, index) => `bert.encoder.layer.${index}`).flatMap((name) =>
        Object.entries(layer(name)),
      ),
    ),
    ...linear("bert.pooler.dense", hidden, hidden),
    ...linear("classifier", 1, hidden),
  };
}

/** A safetensors file: the length of its header, the header, the numbers. */
function encodeTensors(random: Random): Buffer {
  const header: Record<string, unknown> = { __metadata__: { format: "pt" } };
  const parts: Buffer[] = [];
  let offset = 0;
  for (const [name, shape] of Object.entries(tensorShapes())) {
    const count = shape.reduce((product, length) => product * length, 1);
    const values = name.endsWith("LayerNorm.weight")
      ? Array.from({ length: count }, () => 1)
      : drawTensor(random, count, name.endsWith("bias") ? 0.2 : 2);
    const bytes = Buffer.alloc(4 * count);
    for (const [index, value] of values.entries()) bytes.writeFloatLE(value, 4 * index);
    header[name] = { dtype: "F32", shape, data_offsets: [offset, offset + bytes.length] };
    offset += bytes.length;
    parts.push(bytes);
  }
  const text = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  return Buffer.concat([length, text, ...parts]);
}

/** A tokenizer of bytes: ids 0 to 255, then the four special tokens; pairs as BERT has them. */
function describeTokenizer(): unknown {
  const special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"].map((content, index) => ({
    id: 256 + index,
    content,
  }));
  const bytes = Array.from({ length: 256 }, (_, byte): [string, number] => [
    `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`,
    byte,
  ]);
  const token = (id: string, type_id: number) => ({ SpecialToken: { id, type_id } });
  const sequence = (id: string, type_id: number) => ({ Sequence: { id, type_id } });
  return {
    version: "1.0",
    added_tokens: special.map(({ id, content }) => ({
      id,
      content,
      single_word: false,
      lstrip: false,
      rstrip: false,
      normalized: false,
      special: true,
    })),
    model: {
      type: "BPE",
      unk_token: "[UNK]",
      byte_fallback: true,
      merges: [],
      vocab: Object.fromEntries([
        ...bytes,
        ...special.map(({ id, content }): [string, number] => [content, id]),
      ]),
    },
    post_processor: {
      type: "TemplateProcessing",
      single: [token("[CLS]", 0), sequence("A", 0), token("[SEP]", 0)],
      pair: [
        token("[CLS]", 0),
        sequence("A", 0),
        token("[SEP]", 0),
        sequence("B", 1),
        token("[SEP]", 1),
      ],
      special_tokens: Object.fromEntries(
        special
          .slice(2)
          .map(({ id, content }) => [content, { id: content, ids: [id], tokens: [content] }]),
      ),
    },
  };
}

/**
 * Writes a cross-encoder with random weights that reads 64 bytes of a pair: a folder as transformers saves one, made
 * without Python and without a download. Its scores mean nothing and are the same everywhere but for rounding.
 * @returns the folder
 */
export async function writeTinyReranker(folder: string): Promise<string> {
  await mkdir(folder, { recursive: true });
  const { vocabulary, hidden, inner, positions, layers } = size;
  const files: Readonly<Record<string, unknown>> = {
    "config.json": {
      architectures: ["BertForSequenceClassification"],
      model_type: "bert",
      vocab_size: vocabulary,
      hidden_size: hidden,
      intermediate_size: inner,
      num_hidden_layers: layers,
      num_attention_heads: 2,
      max_position_embeddings: positions,
      type_vocab_size: 2,
      pad_token_id: 256,
      id2label: { 0: "LABEL_0" },
      label2id: { LABEL_0: 0 },
    },
    "tokenizer.json": describeTokenizer(),
    "tokenizer_config.json": {
      tokenizer_class: "PreTrainedTokenizerFast",
      model_max_length: positions,
      model_input_names: ["input_ids", "token_type_ids", "attention_mask"],
      pad_token: "[PAD]",
      unk_token: "[UNK]",
      cls_token: "[CLS]",
      sep_token: "[SEP]",
    },
  };
  for (const [name, content] of Object.entries(files))
    await writeFile(join(folder, name), `${JSON.stringify(content)}\n`);
  await writeFile(join(folder, "model.safetensors"), encodeTensors(createRandom(1)));
  return folder;
}
