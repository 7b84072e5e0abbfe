"""Datums and comparisons that several tests use."""

from __future__ import annotations

import random

import torch

from memory_r1_engine.core import TorchEngine
from memory_r1_engine.types import Constraint, Datum, LoraConfig, ModelRole

FIRST_ORDINARY_TOKEN = 3
"""Ids below are the tiny tokenizer's special tokens."""


def build_tokens(generator: random.Random, count: int, vocabulary: int = 384) -> tuple[int, ...]:
    return tuple(generator.randrange(FIRST_ORDINARY_TOKEN, vocabulary) for _ in range(count))


def build_datum(
    prompt: tuple[int, ...],
    completion: tuple[int, ...],
    generator: random.Random,
    constraint: Constraint | None = None,
) -> Datum:
    """A datum in suffix form with every loss input filled in."""
    size = len(completion)

    def draw(low: float, high: float) -> tuple[float, ...]:
        return tuple(generator.uniform(low, high) for _ in range(size))

    chunks = (prompt, completion[:-1]) if size > 1 else (prompt,)
    logprobs = draw(-6.5, -4.5)
    return Datum(
        chunks=chunks,
        target_tokens=completion,
        logprobs=logprobs,
        ref_logprobs=tuple(value + 0.4 * (-1) ** index for index, value in enumerate(logprobs)),
        advantages=draw(-1.5, 1.5),
        values=draw(-0.5, 0.5),
        returns=draw(-1.0, 1.0),
        constraint=constraint,
    )


def build_groups(seed: int = 0) -> list[Datum]:
    """Three prompts with four completions each, of 1 to 9 tokens, two of them with a common start; order shuffled."""
    generator = random.Random(seed)
    data = []
    for group in range(3):
        prompt = build_tokens(generator, 20 + 9 * group)
        stem = build_tokens(generator, 4)
        completions = [
            build_tokens(generator, 1),
            build_tokens(generator, 3 + group),
            stem + build_tokens(generator, 2),
            stem + build_tokens(generator, 5),
        ]
        data += [build_datum(prompt, completion, generator) for completion in completions]
    generator.shuffle(data)
    return data


def create_random_model(
    engine: TorchEngine, model_id: str, role: ModelRole = "policy", *, train_unembed: bool = False
) -> None:
    """An adapter whose up-projections and value head are not zero, so that every gradient is alive."""
    engine.create_model(model_id, role, LoraConfig(rank=4, seed=1, train_unembed=train_unembed))
    flat = get_flat(engine, model_id)
    noise = torch.randn(flat.shape, generator=torch.Generator().manual_seed(7), dtype=torch.float64)
    with torch.no_grad():
        flat.add_(noise.to(flat) * 0.05)


def get_flat(engine: TorchEngine, model_id: str) -> torch.Tensor:
    """All trained tensors of a model, as the one vector in which the engine keeps them."""
    return engine._models[model_id].weights.flat


def get_gradient(engine: TorchEngine, model_id: str) -> torch.Tensor:
    gradient = engine._models[model_id].weights.gradient
    assert gradient is not None
    return gradient
