"""GGUF to a Hugging Face folder: float32 safetensors, config.json, and a tokenizer that any loader reads alike.

Written by hand instead of through a loader of GGUF files for the tokenizer's sake: the pre-tokeniser is not part of a
GGUF file (only its name is), and a wrong one changes token ids silently.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy
from gguf import GGUFReader, dequantize
from numpy.typing import NDArray
from safetensors.numpy import save_file

#: Part of the cache key: raise it when the output changes.
CONVERTER_VERSION = 1

FloatArray = NDArray[numpy.float32]

#: llama.cpp's token types (`LLAMA_TOKEN_TYPE_*`).
CONTROL_TOKEN = 3
USER_DEFINED_TOKEN = 4

#: GPT-2's split into words. The original writes `\s`, which means White_Space in some regular expression engines and
#: not quite that in JavaScript's; named in full it is the same everywhere.
GPT2_WORDS = (
    r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\p{White_Space}\p{L}\p{N}]+"
    r"|\p{White_Space}+(?!\P{White_Space})|\p{White_Space}+"
)
#: The splits before the byte-level alphabet, by the name a GGUF file gives its pre-tokeniser. `smollm` splits off each
#: digit: as a regular expression and not as the `Digits` step, whose digits are not the same everywhere either.
PRE_TOKENIZERS: dict[str, tuple[str, ...]] = {
    "smollm": (r"\p{N}", GPT2_WORDS),
    "gpt-2": (GPT2_WORDS,),
}


class ConversionError(Exception):
    """The file is damaged or of a kind that is not supported."""


@dataclass(frozen=True)
class _Fields:
    """The key-value part of a GGUF file."""

    values: dict[str, Any]

    def get(self, key: str, default: Any = None) -> Any:
        return self.values.get(key, default)

    def need(self, key: str) -> Any:
        if key not in self.values:
            raise ConversionError(f"the GGUF file has no field {key}")
        return self.values[key]


def convert(source: Path, target: Path) -> None:
    """Writes the model of `source` into the existing folder `target`."""
    try:
        reader = GGUFReader(str(source))
    except (ValueError, OSError, IndexError) as error:
        raise ConversionError(f"{source.name} is no readable GGUF file: {error}") from error
    fields = _Fields({name: field.contents() for name, field in reader.fields.items()})
    architecture = fields.need("general.architecture")
    if architecture != "llama":
        raise ConversionError(
            f'the GGUF architecture "{architecture}" is not supported, only "llama"'
        )
    config = _config(fields, tied="output.weight" not in {tensor.name for tensor in reader.tensors})
    weights = {}
    for tensor in reader.tensors:
        if tensor.name == "rope_freqs.weight":
            raise ConversionError(
                "the GGUF file scales its rotary embedding, which is not supported"
            )
        name = _weight_name(tensor.name)
        values = dequantize(tensor.data, tensor.tensor_type).astype(numpy.float32, copy=False)
        weights[name] = _restore_order(tensor.name, values, config)
    save_file(weights, str(target / "model.safetensors"), metadata={"format": "pt"})
    _write_json(target / "config.json", config)
    _write_json(
        target / "generation_config.json",
        {key: config[key] for key in ("bos_token_id", "eos_token_id", "pad_token_id")},
    )
    _write_json(target / "tokenizer.json", _tokenizer(fields))
    _write_json(target / "tokenizer_config.json", _tokenizer_config(fields, config))


def _config(fields: _Fields, *, tied: bool) -> dict[str, Any]:
    hidden_size = int(fields.need("llama.embedding_length"))
    heads = int(fields.need("llama.attention.head_count"))
    head_dim = int(fields.get("llama.rope.dimension_count", hidden_size // heads))
    if head_dim != hidden_size // heads:
        raise ConversionError("the GGUF file rotates a part of each head, which is not supported")
    rope_theta = float(fields.get("llama.rope.freq_base", 10_000.0))
    eos_token_id = int(fields.need("tokenizer.ggml.eos_token_id"))
    return {
        "architectures": ["LlamaForCausalLM"],
        "attention_bias": False,
        "attention_dropout": 0.0,
        "bos_token_id": int(fields.get("tokenizer.ggml.bos_token_id", eos_token_id)),
        "eos_token_id": eos_token_id,
        "head_dim": head_dim,
        "hidden_act": "silu",
        "hidden_size": hidden_size,
        "initializer_range": 0.02,
        "intermediate_size": int(fields.need("llama.feed_forward_length")),
        "max_position_embeddings": int(fields.need("llama.context_length")),
        "mlp_bias": False,
        "model_type": "llama",
        "num_attention_heads": heads,
        "num_hidden_layers": int(fields.need("llama.block_count")),
        "num_key_value_heads": int(fields.get("llama.attention.head_count_kv", heads)),
        "pad_token_id": int(fields.get("tokenizer.ggml.padding_token_id", eos_token_id)),
        # The file holds a float32: 1e-05 and not 9.999999747378752e-06.
        "rms_norm_eps": _shortest_float32(fields.need("llama.attention.layer_norm_rms_epsilon")),
        # In both places: older and newer loaders look for it in one or the other.
        "rope_parameters": {"rope_theta": rope_theta, "rope_type": "default"},
        "rope_theta": rope_theta,
        "tie_word_embeddings": tied,
        "torch_dtype": "float32",
        "use_cache": True,
        "vocab_size": len(fields.need("tokenizer.ggml.tokens")),
    }


def _shortest_float32(value: float) -> float:
    return float(str(numpy.float32(value)))


_WEIGHT_NAMES = {
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
    "output": "lm_head",
}
_LAYER_NAMES = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


def _weight_name(name: str) -> str:
    parts = name.split(".")
    if len(parts) == 2 and parts[0] in _WEIGHT_NAMES and parts[1] == "weight":
        return f"{_WEIGHT_NAMES[parts[0]]}.weight"
    if len(parts) == 4 and parts[0] == "blk" and parts[2] in _LAYER_NAMES and parts[3] == "weight":
        return f"model.layers.{int(parts[1])}.{_LAYER_NAMES[parts[2]]}.weight"
    raise ConversionError(f"the GGUF tensor {name} is not supported")


def _restore_order(name: str, values: FloatArray, config: dict[str, Any]) -> FloatArray:
    """Undoes llama.cpp's order of the rotated rows: it pairs neighbours, transformers pairs halves of a head."""
    kind = name.split(".")[2] if name.startswith("blk.") else ""
    heads = {
        "attn_q": config["num_attention_heads"],
        "attn_k": config["num_key_value_heads"],
    }.get(kind)
    if heads is None:
        return numpy.ascontiguousarray(values)
    rows, columns = values.shape
    pairs = values.reshape(heads, rows // heads // 2, 2, columns)
    return numpy.ascontiguousarray(pairs.swapaxes(1, 2).reshape(rows, columns))


def _added_token(token_id: int, content: str, *, special: bool) -> dict[str, Any]:
    return {
        "id": token_id,
        "content": content,
        "single_word": False,
        "lstrip": False,
        "rstrip": False,
        "normalized": False,
        "special": special,
    }


def _tokenizer(fields: _Fields) -> dict[str, Any]:
    """tokenizer.json of a byte-level BPE tokenizer."""
    kind = fields.need("tokenizer.ggml.model")
    pre = fields.get("tokenizer.ggml.pre", "gpt-2")
    if kind != "gpt2" or pre not in PRE_TOKENIZERS:
        raise ConversionError(
            f'the GGUF tokenizer "{kind}" with pre-tokeniser "{pre}" is not supported '
            f"(byte-level BPE with {', '.join(sorted(PRE_TOKENIZERS))} is)"
        )
    if fields.get("tokenizer.ggml.add_bos_token", False):
        raise ConversionError("the GGUF tokenizer puts a token before every text: not supported")
    tokens: list[str] = fields.need("tokenizer.ggml.tokens")
    token_types: list[int] = fields.need("tokenizer.ggml.token_type")
    byte_level = {
        "type": "ByteLevel",
        "add_prefix_space": False,
        "trim_offsets": True,
        "use_regex": False,
    }
    splits = [
        {"type": "Split", "pattern": {"Regex": regex}, "behavior": "Isolated", "invert": False}
        for regex in PRE_TOKENIZERS[pre]
    ]
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            _added_token(token_id, content, special=token_type == CONTROL_TOKEN)
            for token_id, (content, token_type) in enumerate(zip(tokens, token_types, strict=True))
            if token_type in (CONTROL_TOKEN, USER_DEFINED_TOKEN)
        ],
        "normalizer": None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [*splits, byte_level]},
        "post_processor": None,
        "decoder": byte_level,
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": {content: token_id for token_id, content in enumerate(tokens)},
            "merges": [merge.split(" ") for merge in fields.need("tokenizer.ggml.merges")],
        },
    }


def _tokenizer_config(fields: _Fields, config: dict[str, Any]) -> dict[str, Any]:
    tokens: list[str] = fields.need("tokenizer.ggml.tokens")
    token_types: list[int] = fields.need("tokenizer.ggml.token_type")
    unknown = fields.get("tokenizer.ggml.unknown_token_id")
    decoder = {
        str(token_id): {
            key: value
            for key, value in _added_token(token_id, content, special=True).items()
            if key != "id"
        }
        for token_id, content in enumerate(tokens)
        if token_types[token_id] == CONTROL_TOKEN
    }
    return {
        "add_prefix_space": False,
        "added_tokens_decoder": decoder,
        "bos_token": tokens[config["bos_token_id"]],
        "chat_template": fields.get("tokenizer.chat_template"),
        # Otherwise " ." would be decoded as ".", and a text would not survive encoding and decoding.
        "clean_up_tokenization_spaces": False,
        "eos_token": tokens[config["eos_token_id"]],
        "model_max_length": config["max_position_embeddings"],
        "pad_token": tokens[config["pad_token_id"]],
        # The class that takes tokenizer.json as it is; those named after models rebuild parts of it.
        "tokenizer_class": "PreTrainedTokenizerFast",
        "unk_token": None if unknown is None else tokens[unknown],
    }


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
