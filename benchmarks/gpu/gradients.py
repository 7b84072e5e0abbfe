"""Gradients of a group packed into shared rows against those of its sequences in rows of their own.

In float32 the two must be equal up to rounding. In bfloat16 each is compared with the float32 gradient: packing must
not be further from it than separate rows are. Prints one JSON line.
"""

from __future__ import annotations

import argparse
import gc
import json
import random
import sys
from dataclasses import replace
from pathlib import Path
from typing import Literal

import torch
from memory_r1_engine.core import TorchEngine
from memory_r1_engine.types import Datum, LoraConfig

MODEL_ID = "policy"
LONGEST_FLOAT32_DISTANCE = 1e-3
LARGEST_BFLOAT16_FACTOR = 1.5
"""How many times the distance of separate rows that of packed rows may be: rounding falls differently, by chance."""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--device", required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--group-size", type=int, required=True)
    parser.add_argument("--prompt-tokens", type=int, required=True)
    parser.add_argument("--completion-tokens", type=int, required=True)
    given = parser.parse_args()
    generator = random.Random(f"{given.seed}/gradients")

    def draw(count: int) -> tuple[int, ...]:
        return tuple(generator.randrange(256) for _ in range(count))

    prompt = draw(given.prompt_tokens)
    data = []
    for _ in range(given.group_size):
        completion = draw(given.completion_tokens)
        blank = (0.0,) * len(completion)
        data.append(
            Datum(
                chunks=(prompt, completion[:-1]),
                target_tokens=completion,
                logprobs=blank,
                advantages=(generator.uniform(-1, 1),) * len(completion),
            )
        )

    exact, data = compute_gradient(given, data, "float32", packed=False, fill=True)
    distances = {
        name: distance(compute_gradient(given, data, dtype, packed=packed)[0], exact)
        for name, dtype, packed in RUNS
    }
    sys.stdout.write(
        json.dumps(
            {
                "deviceName": (
                    torch.cuda.get_device_name(given.device)
                    if given.device.startswith("cuda")
                    else "CPU"
                ),
                "torch": torch.__version__,
                "distances": distances,
                "passed": distances["float32 packed"] <= LONGEST_FLOAT32_DISTANCE
                and distances["bfloat16 packed"]
                <= LARGEST_BFLOAT16_FACTOR * distances["bfloat16 separate"],
            }
        )
        + "\n"
    )


DtypeName = Literal["float32", "bfloat16"]
RUNS: tuple[tuple[str, DtypeName, bool], ...] = (
    ("float32 packed", "float32", True),
    ("bfloat16 separate", "bfloat16", False),
    ("bfloat16 packed", "bfloat16", True),
)


def compute_gradient(
    given: argparse.Namespace,
    data: list[Datum],
    dtype: DtypeName,
    *,
    packed: bool,
    fill: bool = False,
) -> tuple[torch.Tensor, list[Datum]]:
    """The gradient of a new engine; with `fill` also the data with the engine's own log-probabilities in them."""
    engine = TorchEngine(
        given.model, dtype=dtype, device=given.device, shared_prefix_packing=packed
    )
    if packed and not engine.supports_packing:
        raise RuntimeError("the engine does not pack this model")
    engine.create_model(MODEL_ID, "policy", LoraConfig(rank=16, seed=given.seed))
    weights = engine._models[MODEL_ID].weights
    # Up-projections start at zero, where half of the gradient would be zero, too.
    noise = torch.randn(weights.flat.shape, generator=torch.Generator().manual_seed(given.seed))
    with torch.no_grad():
        weights.flat.add_(noise.to(weights.flat) * 0.01)
    if fill:
        outputs = engine.forward(MODEL_ID, data, "importance_sampling").outputs
        data = [
            replace(datum, logprobs=tuple(output.logprobs or ()))
            for datum, output in zip(data, outputs, strict=True)
        ]
    engine.forward_backward(MODEL_ID, data, "importance_sampling")
    gradient = weights.gradient
    if gradient is None:
        raise RuntimeError("the engine kept no gradient")
    result = gradient.detach().to("cpu", torch.float64)
    del engine, weights, gradient
    gc.collect()
    if given.device.startswith("cuda"):
        torch.cuda.empty_cache()
    return result, data


def distance(first: torch.Tensor, second: torch.Tensor) -> float:
    return float((first - second).norm() / second.norm())


if __name__ == "__main__":
    main()
