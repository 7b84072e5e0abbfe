"""The machine's matrix products: how many operations a second torch reaches in one type, on one thread pool.

The faster of torch's own product and the engine's, whose weights are packed once, counts.

Prints one JSON line: `square` for each size, and `layers`, the linear layers of a model for `--rows` tokens.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from memory_r1_engine.products import multiply, pack_weight

SIZES = (512, 1024, 2048, 3072)
REPETITIONS = 7
LONGEST_SECONDS = 2.0
"""A product that takes longer is the last one: types without instructions are a hundred times slower."""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), required=True)
    parser.add_argument("--device", required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--rows", type=int, required=True)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    torch.manual_seed(0)
    dtype: torch.dtype = getattr(torch, given.dtype)
    device: str = given.device
    square: dict[str, float] = {}
    for size in SIZES:
        seconds = measure(size, size, size, dtype, device)
        square[str(size)] = 2 * size**3 / seconds / 1e9
        if seconds > LONGEST_SECONDS:
            break
    layers = read_layers(given.model)
    seconds = sum(measure(given.rows, *layer, dtype, device) for layer in layers)
    operations = sum(2 * given.rows * inner * outer for inner, outer in layers)
    sys.stdout.write(
        json.dumps(
            {
                "squareGflops": square,
                "layerRows": given.rows,
                "layerGflops": operations / seconds / 1e9,
            }
        )
        + "\n"
    )


def read_layers(model: Path) -> list[tuple[int, int]]:
    """Inputs and outputs of one decoder layer's linear layers, of the Llama family."""
    config = json.loads((model / "config.json").read_text(encoding="utf-8"))
    hidden, inner = config["hidden_size"], config["intermediate_size"]
    heads = config["num_attention_heads"]
    head = config.get("head_dim") or hidden // heads
    keys = config.get("num_key_value_heads", heads) * head
    return [
        (hidden, heads * head),
        (hidden, keys),
        (hidden, keys),
        (heads * head, hidden),
        (hidden, inner),
        (hidden, inner),
        (inner, hidden),
    ]


def measure(rows: int, inner: int, outer: int, dtype: torch.dtype, device: str) -> float:
    """Seconds of the fastest of some products, as a linear layer does them: the weights are outer x inner."""
    inputs = torch.randn(rows, inner, dtype=dtype, device=device)
    weights = torch.randn(outer, inner, dtype=dtype, device=device)
    packed = pack_weight(weights)
    products: list[Callable[[], object]] = [lambda: torch.nn.functional.linear(inputs, weights)]
    if packed is not None:
        products.append(lambda: multiply(inputs, packed))
    return min(time_product(product, device) for product in products)


def time_product(product: Callable[[], object], device: str) -> float:
    """Seconds of the fastest of some runs."""
    fastest = float("inf")
    for _ in range(REPETITIONS):
        synchronise(device)
        started = time.perf_counter()
        product()
        synchronise(device)
        seconds = time.perf_counter() - started
        fastest = min(fastest, seconds)
        if seconds > LONGEST_SECONDS:
            break
    return fastest


def synchronise(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)


if __name__ == "__main__":
    main()
