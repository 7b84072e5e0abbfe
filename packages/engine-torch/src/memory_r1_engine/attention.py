"""Tree attention for Hugging Face models, without a dense mask and without copying key and value heads.

A model that uses transformers' attention interface is switched to `IMPLEMENTATION`. Its attention layers then call
`attend_active`, which hands queries, keys and values to the pass that the caller has made active. transformers builds
no mask for an implementation that it does not know, so nothing is computed per layer but the attention itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from transformers import AttentionInterface

from memory_r1_engine.packing import PackedRow, Span, merge_spans, plan_attention

IMPLEMENTATION = "memory_r1_tree"

QUERY_LIMIT = 256
"""Queries per attention block: smaller wastes less on masked pairs, larger multiplies bigger matrices."""


class AttentionPass(Protocol):
    """What the attention layers do during one forward pass. Shapes: heads x tokens x head size, one row."""

    def attend(
        self,
        layer: int,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        scale: float,
    ) -> torch.Tensor:
        """Returns tokens x heads x head size."""
        ...


_active_pass: ContextVar[AttentionPass] = ContextVar("memory_r1_attention_pass")


@contextmanager
def use_attention(attention: AttentionPass) -> Iterator[None]:
    """Makes `attention` what the model's layers use inside the block."""
    token = _active_pass.set(attention)
    try:
        yield
    finally:
        _active_pass.reset(token)


def find_active_attention() -> AttentionPass | None:
    """The pass that is in use here, if any."""
    return _active_pass.get(None)


class UnsupportedAttentionError(Exception):
    """The model's attention has a feature that the tree attention does not compute."""


def attend_active(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    **features: Any,
) -> tuple[torch.Tensor, None]:
    """The attention function that transformers calls; batch size is always one row."""
    for name in ("softcap", "s_aux", "position_bias", "head_mask", "sliding_window"):
        if features.get(name) is not None:
            raise UnsupportedAttentionError(f"attention with {name}")
    if attention_mask is not None or query.shape[0] != 1:
        raise UnsupportedAttentionError("a mask or batch of the model's own")
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    layer = getattr(module, "layer_idx", None)
    if not isinstance(layer, int):
        raise UnsupportedAttentionError("attention layers without a layer_idx")
    output = _active_pass.get().attend(layer, query[0], key[0], value[0], scale)
    return output.unsqueeze(0), None


AttentionInterface.register(IMPLEMENTATION, attend_active)


@dataclass(frozen=True)
class _BlockPlan:
    """A block's queries, the spans of its keys (own range last), and the mask of its own range (`build_own_mask`)."""

    start: int
    stop: int
    spans: tuple[Span, ...]
    own_mask: torch.Tensor


class TreeAttention:
    """The pass over one packed row."""

    def __init__(self, row: PackedRow, device: torch.device) -> None:
        ends = torch.tensor(row.subtree_ends)
        self._blocks: list[_BlockPlan] = []
        for block in plan_attention(row.subtree_ends, QUERY_LIMIT):
            nodes = torch.arange(block.start, block.stop)
            own_ends = ends[block.start : block.stop]
            visible = (nodes[None, :] <= nodes[:, None]) & (nodes[:, None] < own_ends[None, :])
            spans = merge_spans((*block.ancestors, (block.start, block.stop)))
            own_mask = build_own_mask(visible).to(device)
            self._blocks.append(_BlockPlan(block.start, block.stop, spans, own_mask))

    def attend(
        self,
        layer: int,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        scale: float,
    ) -> torch.Tensor:
        del layer  # every layer sees the same tree
        return _BlockAttention.apply(query, key, value, self._blocks, scale)  # type: ignore[no-any-return, no-untyped-call]  # untyped in torch


def _gather_spans(tensor: torch.Tensor, spans: Sequence[Span]) -> torch.Tensor:
    """Slices of the token dimension (1) joined; a view where one span suffices."""
    parts = [tensor[:, start:stop] for start, stop in spans]
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)


def _fold_queries(tensor: torch.Tensor, groups: int, start: int, stop: int) -> torch.Tensor:
    """heads x tokens x size -> key heads x (group members * tokens) x size: a key head serves its group at once."""
    part = tensor[:, start:stop]
    return part.reshape(groups, -1, part.shape[-1])


def build_own_mask(visible: torch.Tensor) -> torch.Tensor:
    """What is added to scores of queries x queries: 0, or minus infinity for what a query does not see.

    Added, not filled in: several times as fast on a CPU.
    """
    mask = torch.zeros(visible.shape, device=visible.device)
    return mask.masked_fill_(visible.logical_not(), float("-inf"))


def compute_probabilities(
    folded: torch.Tensor, keys: torch.Tensor, own_mask: torch.Tensor
) -> torch.Tensor:
    """Softmax over the visible keys, key heads x (group members * queries) x keys; `folded` is scaled already.

    The last keys are the queries' own, under `own_mask`; all before are visible.
    """
    scores = torch.bmm(folded, keys.mT)
    queries = own_mask.shape[0]
    own = scores.view(scores.shape[0], -1, queries, scores.shape[-1])[..., -queries:]
    own += own_mask.to(own.dtype)
    # In half precision too: the kernel sums in float32, and transformers' own attention rounds scores just so.
    return torch.softmax(scores, dim=-1)


class _BlockAttention(torch.autograd.Function):
    """Softmax attention block by block; the backward pass computes the probabilities again instead of keeping them.

    Hand-written because autograd over slices of keys would allocate full-size gradients for every block, and because
    grouped key heads need no copies this way.
    """

    @staticmethod
    def forward(
        ctx: Any,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        blocks: list[_BlockPlan],
        scale: float,
    ) -> torch.Tensor:
        heads, tokens, size = query.shape
        groups = key.shape[0]
        output = query.new_empty(tokens, groups, heads // groups, size)
        for block in blocks:
            keys = _gather_spans(key, block.spans)
            values = _gather_spans(value, block.spans)
            folded = _fold_queries(query, groups, block.start, block.stop) * scale
            attended = torch.bmm(compute_probabilities(folded, keys, block.own_mask), values)
            target = output[block.start : block.stop].permute(1, 2, 0, 3)
            target.copy_(attended.view(target.shape))
        ctx.save_for_backward(query, key, value)
        ctx.blocks = blocks
        ctx.scale = scale
        return output.view(tokens, heads, size)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> Any:
        query, key, value = ctx.saved_tensors
        groups = key.shape[0]
        # heads x tokens x size, like the query
        gradient = gradients[0].transpose(0, 1)
        query_gradient = torch.empty_like(query)
        key_gradient = torch.zeros_like(key)
        value_gradient = torch.zeros_like(value)
        for block in ctx.blocks:
            start, stop = block.start, block.stop
            keys = _gather_spans(key, block.spans)
            values = _gather_spans(value, block.spans)
            folded = _fold_queries(query, groups, start, stop) * ctx.scale
            block_gradient = _fold_queries(gradient, groups, start, stop)
            probabilities = compute_probabilities(folded, keys, block.own_mask)
            own_value_gradient = torch.bmm(probabilities.transpose(1, 2), block_gradient)
            probability_gradient = torch.bmm(block_gradient, values.transpose(1, 2))
            score_gradient = torch.ops.aten._softmax_backward_data(
                probability_gradient, probabilities, -1, probabilities.dtype
            )
            own_query_gradient = torch.bmm(score_gradient, keys).mul_(ctx.scale)
            target = query_gradient[:, start:stop]
            target.copy_(own_query_gradient.view(target.shape))
            own_key_gradient = torch.bmm(score_gradient.transpose(1, 2), folded)
            offset = 0
            for span_start, span_stop in block.spans:
                length = span_stop - span_start
                part = slice(offset, offset + length)
                key_gradient[:, span_start:span_stop] += own_key_gradient[:, part]
                value_gradient[:, span_start:span_stop] += own_value_gradient[:, part]
                offset += length
        return query_gradient, key_gradient, value_gradient, None, None
