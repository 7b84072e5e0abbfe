"""The ways to compute a packed row's attention, by name, and the choice between them.

All three give the same numbers up to rounding (tests/test_attention.py): `blocks` follows the tree with PyTorch's CPU
kernel (attention.py), `sdpa` hands PyTorch's own attention a dense mask, `flex` compiles the tree into a block mask for
CUDA.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, Literal, get_args

import torch
from torch.nn.attention.flex_attention import create_block_mask, flex_attention
from torch.nn.functional import pad

from memory_r1_engine.attention import AttentionPass, BlockAttention, attend_under_mask
from memory_r1_engine.packing import PackedRow, pack_sequences
from memory_r1_engine.types import EngineError

AttentionKind = Literal["blocks", "sdpa", "flex"]
AttentionChoice = Literal["auto", "blocks", "sdpa", "flex"]
ATTENTION_CHOICES: tuple[AttentionChoice, ...] = get_args(AttentionChoice)

_FLEX_TILE = 128
"""Flex attention skips tiles of so many queries by so many keys; rows are padded to whole tiles."""

_RECOMPILE_LIMIT = 64
"""Kernels that flex attention may compile (one for each padded length): beyond it torch would fall back in silence."""


class SdpaTreeAttention:
    """PyTorch's scaled dot product attention under the row's dense mask: every pair is computed, then masked."""

    def __init__(self, row: PackedRow, device: torch.device) -> None:
        self._mask = build_dense_mask(row.subtree_ends).to(device)

    def attend(
        self,
        layer: int,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        scale: float,
    ) -> torch.Tensor:
        del layer  # every layer sees the same tree
        return attend_under_mask(query, key, value, self._mask, scale)


class FlexTreeAttention:
    """Flex attention: a fused kernel that skips the tiles in which no query sees a key.

    On CUDA it is compiled, once for each padded length. Uncompiled (on a CPU, for tests) it is the same mask and the
    same maths with every pair of scores in memory.
    """

    def __init__(self, row: PackedRow, device: torch.device) -> None:
        self._length = len(row.tokens)
        self._padding = pad_to_tiles(self._length) - self._length
        self._mask = build_block_mask(row.subtree_ends, device)
        # torch types one of the two as a plain function.
        self._attend: Any = _compiled_flex() if device.type == "cuda" else flex_attention

    def attend(
        self,
        layer: int,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        scale: float,
    ) -> torch.Tensor:
        del layer  # every layer sees the same tree
        padded = [
            pad(tensor, (0, 0, 0, self._padding)).unsqueeze(0) for tensor in (query, key, value)
        ]
        output: Any = self._attend(
            *padded,
            block_mask=self._mask,
            scale=scale,
            enable_gqa=query.shape[0] != key.shape[0],
        )
        attended: torch.Tensor = output[0, :, : self._length]
        return attended.transpose(0, 1)


def build_dense_mask(subtree_ends: Sequence[int]) -> torch.Tensor:
    """nodes x nodes, true where the query (row) sees the key (column): k <= q < subtree_ends[k]."""
    nodes = torch.arange(len(subtree_ends))
    ends = torch.tensor(subtree_ends)
    return (nodes[None, :] <= nodes[:, None]) & (nodes[:, None] < ends[None, :])


def pad_to_tiles(length: int) -> int:
    """The next power of two of tiles, whole 4096s beyond that: few lengths, so that few kernels are compiled.

    Padding sees itself alone, so whole tiles of it are skipped.
    """
    if length > 4096:
        return -(-length // 4096) * 4096
    padded = _FLEX_TILE
    while padded < length:
        padded *= 2
    return padded


def build_block_mask(subtree_ends: Sequence[int], device: torch.device) -> Any:
    """The row's mask for flex attention; padding nodes are trees of one node."""
    length = len(subtree_ends)
    padded = pad_to_tiles(length)
    ends = torch.arange(1, padded + 1)
    ends[:length] = torch.tensor(subtree_ends)
    ends = ends.to(device)

    def is_visible(
        _batch: torch.Tensor, _head: torch.Tensor, query: torch.Tensor, key: torch.Tensor
    ) -> torch.Tensor:
        return (key <= query) & (query < ends[key])

    return create_block_mask(is_visible, None, None, padded, padded, device=device)


@functools.cache
def _compiled_flex() -> Callable[..., Any]:
    config: Any = torch._dynamo.config
    config.recompile_limit = max(config.recompile_limit, _RECOMPILE_LIMIT)
    return torch.compile(flex_attention, dynamic=False)


_CLASSES: dict[AttentionKind, Callable[[PackedRow, torch.device], AttentionPass]] = {
    "blocks": BlockAttention,
    "sdpa": SdpaTreeAttention,
    "flex": FlexTreeAttention,
}


def create_tree_attention(
    kind: AttentionKind, row: PackedRow, device: torch.device
) -> AttentionPass:
    """The pass over one packed row."""
    return _CLASSES[kind](row, device)


def choose_attention(
    choice: AttentionChoice, device: torch.device, dtype: torch.dtype
) -> tuple[AttentionKind, str | None]:
    """The way to compute, and why it is not the first choice (None where it is).

    `auto` is flex on CUDA and blocks on a CPU where they agree with `sdpa` on a small row, forward and backward:
    neither of their kernels is a settled interface of PyTorch. Elsewhere it is `sdpa`.
    """
    if choice == "blocks" and device.type != "cpu":
        raise EngineError(
            400, f"attention blocks runs on a CPU, not on {device.type}: choose auto, sdpa or flex"
        )
    if choice != "auto":
        return choice, None
    # Flex attention has no kernel for float64.
    if device.type not in ("cpu", "cuda") or (device.type == "cuda" and dtype == torch.float64):
        return "sdpa", None
    first: AttentionKind = "flex" if device.type == "cuda" else "blocks"
    try:
        error = measure_disagreement(first, device, dtype)
    except Exception as failure:  # a kernel or compiler that is missing is no reason not to serve
        return "sdpa", f"{first} attention does not run here ({type(failure).__name__}: {failure})"
    if not error <= (0.05 if dtype == torch.bfloat16 else 1e-3):
        return "sdpa", f"{first} attention differs from plain attention here (by {error:.2g})"
    return first, None


def measure_disagreement(kind: AttentionKind, device: torch.device, dtype: torch.dtype) -> float:
    """The largest difference from `sdpa` of outputs and gradients on a small tree, relative to the largest value."""
    trunk = list(range(90))
    (row,) = pack_sequences([[*trunk, 200 + branch, *range(30)] for branch in range(5)], 1024)
    generator = torch.Generator().manual_seed(0)
    shapes = [(4, len(row.tokens), 64)] + [(2, len(row.tokens), 64)] * 2
    values = [
        torch.randn(shape, generator=generator, dtype=torch.float32).to(device, dtype)
        for shape in shapes
    ]
    results: list[list[torch.Tensor]] = []
    for each in ("sdpa", kind):
        leaves = [value.detach().requires_grad_() for value in values]
        output = create_tree_attention(each, row, device).attend(0, *leaves, 0.125)  # type: ignore[arg-type,call-arg]  # three leaves
        output.square().sum().backward()
        results.append([output.detach(), *(leaf.grad for leaf in leaves if leaf.grad is not None)])
    return max(
        float((one - other).abs().max() / one.abs().max())
        for one, other in zip(*results, strict=True)
    )
