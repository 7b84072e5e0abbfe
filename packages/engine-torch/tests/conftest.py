"""A tiny random model with a real byte-level BPE tokenizer, made on the spot: no download, seconds to run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from memory_r1_engine.core import TorchEngine

SPECIAL_TOKENS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
CHAT_TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content']"
    " + '<|im_end|>' + '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
VOCABULARY_SIZE = 384
SHAPE: dict[str, Any] = {
    "vocab_size": VOCABULARY_SIZE,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "max_position_embeddings": 512,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 2,
    # Larger than usual, so that the logits of random weights differ by more than rounding.
    "initializer_range": 0.15,
}


def build_tokenizer() -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY_SIZE,
        special_tokens=SPECIAL_TOKENS,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    text = [
        "Anna moved to the house by the lake and adopted a dog in May.",
        "The memory bank keeps what each speaker said: ADD, UPDATE, DELETE or NOOP.",
        "Where does the other one live now, and since when is that so?",
    ]
    tokenizer.train_from_iterator(text * 4, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<|im_start|>",
        eos_token="<|im_end|>",
        pad_token="<|im_end|>",
        unk_token="<|endoftext|>",
        chat_template=CHAT_TEMPLATE,
    )


def save_model(model: PreTrainedModel, directory: Path) -> Path:
    model.save_pretrained(directory)
    build_tokenizer().save_pretrained(directory)
    return directory


@pytest.fixture(scope="session")
def tiny_model_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama of 3 layers with grouped key heads and tied embeddings."""
    torch.manual_seed(0)
    model = LlamaForCausalLM(LlamaConfig(**SHAPE, num_key_value_heads=2, tie_word_embeddings=True))
    return save_model(model, tmp_path_factory.mktemp("tiny-llama"))


@pytest.fixture(scope="session")
def other_model_directories(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Architectures that differ where packing could go wrong: biases, parallel blocks, partial rotary, windows."""
    torch.manual_seed(1)
    built: dict[str, PreTrainedModel] = {
        "qwen2": Qwen2ForCausalLM(Qwen2Config(**SHAPE, num_key_value_heads=2)),
        "gpt-neox": GPTNeoXForCausalLM(GPTNeoXConfig(**SHAPE, tie_word_embeddings=False)),
        "windowed": Qwen2ForCausalLM(
            Qwen2Config(
                **SHAPE,
                num_key_value_heads=2,
                use_sliding_window=True,
                sliding_window=4,
                max_window_layers=1,
            )
        ),
    }
    return {name: save_model(model, tmp_path_factory.mktemp(name)) for name, model in built.items()}


@pytest.fixture(scope="session")
def engine(tiny_model_directory: Path) -> TorchEngine:
    """A float32 engine that tests share; each uses its own model ids."""
    return TorchEngine(tiny_model_directory, threads=1)


@pytest.fixture(scope="session")
def double_engine(tiny_model_directory: Path) -> TorchEngine:
    return TorchEngine(tiny_model_directory, dtype="float64", threads=1)
