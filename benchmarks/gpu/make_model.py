"""Writes a model of a known shape with random weights, and a tokenizer of single bytes: nothing is downloaded.

Speed and memory depend on the shape alone. The folder is there whole or not at all.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

END_OF_TURN = "<|im_end|>"

SHAPES: dict[str, dict[str, Any]] = {
    # config.json of Qwen/Qwen2.5-3B-Instruct.
    "qwen2.5-3b": {
        "vocab_size": 151936,
        "hidden_size": 2048,
        "intermediate_size": 11008,
        "num_hidden_layers": 36,
        "num_attention_heads": 16,
        "num_key_value_heads": 2,
        "max_position_embeddings": 32768,
        "rope_theta": 1000000.0,
        "tie_word_embeddings": True,
    },
    # Of the same kind, for a test of the command on any machine.
    "tiny": {
        "vocab_size": 2048,
        "hidden_size": 128,
        "intermediate_size": 256,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 4096,
        "tie_word_embeddings": True,
    },
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--shape", choices=tuple(SHAPES), required=True)
    parser.add_argument("--directory", type=Path, required=True)
    given = parser.parse_args()
    directory: Path = given.directory
    directory.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=directory.parent) as folder:
        part = Path(folder) / "model"
        tokenizer = build_tokenizer()
        tokenizer.save_pretrained(part)
        end = tokenizer.convert_tokens_to_ids(END_OF_TURN)
        torch.manual_seed(0)
        config = Qwen2Config(
            **SHAPES[given.shape], bos_token_id=end, eos_token_id=end, pad_token_id=end
        )
        torch.set_default_dtype(torch.bfloat16)
        Qwen2ForCausalLM(config).save_pretrained(part)
        shutil.move(part, directory)


def build_tokenizer() -> Any:
    """One token for each byte, and one that ends a turn: text of n letters has n tokens."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(
        models.BPE(vocab={letter: index for index, letter in enumerate(alphabet)}, merges=[])
    )
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([END_OF_TURN])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token=END_OF_TURN, pad_token=END_OF_TURN
    )


if __name__ == "__main__":
    main()
