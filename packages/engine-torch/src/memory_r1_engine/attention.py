"""Tree attention for Hugging Face models, without a dense mask and without copying key and value heads.

A model that uses transformers' attention interface is switched to `IMPLEMENTATION`. Its attention layers then call
`attend_active`, which hands queries, keys and values to the pass that the caller has made active. transformers builds
no mask for an implementation that it does not know, so nothing is computed per layer but the attention itself.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Protocol

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface

from memory_r1_engine.packing import AttentionBlock, PackedRow, Span, plan_attention

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


class BlockAttention:
    """The pass over one packed row on a CPU: block by block along the tree, each by PyTorch's fused kernel."""

    def __init__(self, row: PackedRow, device: torch.device) -> None:
        del device  # always the CPU: see choose_attention
        ends = torch.tensor(row.subtree_ends)
        self._blocks = [
            _Block(plan, ends) for plan in plan_attention(row.subtree_ends, QUERY_LIMIT)
        ]

    def attend(
        self,
        layer: int,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        scale: float,
    ) -> torch.Tensor:
        del layer  # every layer sees the same tree
        return _BlockFunction.apply(query, key, value, self._blocks, scale)  # type: ignore[no-any-return, no-untyped-call]  # untyped in torch


class _Block:
    """A block's queries, and the keys that they see: all of its ancestors', and its own under a mask."""

    def __init__(self, plan: AttentionBlock, subtree_ends: torch.Tensor) -> None:
        self.start = plan.start
        self.stop = plan.stop
        self._ancestors = plan.ancestors
        nodes = torch.arange(self.start, self.stop)
        ends = subtree_ends[self.start : self.stop]
        visible = (nodes[None, :] <= nodes[:, None]) & (nodes[:, None] < ends[None, :])
        self._mask = build_score_mask(visible)
        self._folded_mask = self._mask

    def fold(self, tensor: torch.Tensor, groups: int) -> torch.Tensor:
        """The block's part of heads x tokens (x size) as groups x parts x queries (x size): the queries of all heads
        that share a key head follow each other, cut into parts (see `count_parts`)."""
        queries = tensor.shape[0] // groups * (self.stop - self.start)
        parts = count_parts(groups, queries, torch.get_num_threads())
        part = tensor[:, self.start : self.stop]
        return part.reshape(groups, parts, queries // parts, *tensor.shape[2:])

    def list_keys(self, folded: torch.Tensor) -> list[tuple[Sequence[Span], torch.Tensor | None]]:
        """What the folded queries see: spans of keys, and what is added to their scores."""
        _, parts, queries, _ = folded.shape
        shape = (1, parts, queries, self.stop - self.start)
        if self._folded_mask.shape != shape or self._folded_mask.dtype != folded.dtype:
            # Kept for the other layers.
            copies = parts * queries // (self.stop - self.start)
            self._folded_mask = self._mask.repeat(copies, 1).view(shape).to(folded.dtype)
        own = ([(self.start, self.stop)], self._folded_mask)
        return [own, (self._ancestors, None)] if self._ancestors else [own]


def count_parts(groups: int, queries: int, threads: int) -> int:
    """Into how many equal parts the queries of each of `groups` key heads are cut.

    The kernel's backward pass gives a thread whole parts: the fewest that keep the threads busiest.
    """

    def measure_use(parts: int) -> float:
        count = groups * parts
        return count / (math.ceil(count / threads) * threads)

    divisors = [parts for parts in range(1, 2 * threads + 1) if queries % parts == 0]
    return max(divisors, key=lambda parts: (measure_use(parts), -parts))


def build_score_mask(visible: torch.Tensor) -> torch.Tensor:
    """What is added to scores of queries x keys: 0, or minus infinity for what a query does not see.

    Added, not filled in: several times as fast on a CPU.
    """
    mask = torch.zeros(visible.shape, device=visible.device)
    return mask.masked_fill_(visible.logical_not(), float("-inf"))


def attend_under_mask(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor,
    scale: float,
) -> torch.Tensor:
    """PyTorch's own attention under one mask for all heads, queries x keys; tokens x heads x head size.

    The members of a key head's group are its heads, and groups a batch: PyTorch's CPU kernel takes no grouped heads
    together with a mask, and copies of the key heads are not needed this way.
    """
    heads, tokens, size = query.shape
    groups = key.shape[0]
    members = heads // groups
    output = scaled_dot_product_attention(
        query.reshape(groups, members, tokens, size),
        key.unsqueeze(1).expand(-1, members, -1, -1),
        value.unsqueeze(1).expand(-1, members, -1, -1),
        attn_mask=mask,
        scale=scale,
    )
    return output.reshape(heads, tokens, size).transpose(0, 1)


def _gather_spans(tensor: torch.Tensor, spans: Sequence[Span], parts: int) -> torch.Tensor:
    """Slices of groups x tokens x size joined, for each part: a view where one span suffices."""
    pieces = [tensor[:, start:stop] for start, stop in spans]
    joined = pieces[0] if len(pieces) == 1 else torch.cat(pieces, dim=1)
    return joined.unsqueeze(1).expand(-1, parts, -1, -1)


def _scatter_spans(total: torch.Tensor, spans: Sequence[Span], parts: torch.Tensor) -> None:
    """The reverse of `_gather_spans` for gradients: the sum over parts is added where the slices were."""
    offset = 0
    for start, stop in spans:
        length = stop - start
        total[:, start:stop] += parts[:, :, offset : offset + length].sum(1)
        offset += length


def _mix(
    one: tuple[torch.Tensor, torch.Tensor], other: tuple[torch.Tensor, torch.Tensor]
) -> tuple[torch.Tensor, torch.Tensor]:
    """The output and log-sum-exp over two sets of keys, from those over each."""
    share = torch.sigmoid(other[1] - one[1]).unsqueeze(-1)
    return one[0].lerp(other[0], share.to(one[0].dtype)), torch.logaddexp(one[1], other[1])


class _BlockFunction(torch.autograd.Function):
    """Softmax attention by the kernel behind PyTorch's scaled dot product attention, whose log-sum-exp is needed here.

    It keeps a few tiles of scores at a time; products of whole blocks of scores took half as long again (docs/log.md of
    2026-11-26). What a block sees is computed in up to two calls, mixed by their log-sum-exps, so that only its own
    keys need a mask. The backward pass of each call takes the mixed results as they are: a probability is
    exp(score - log-sum-exp over all keys).
    Written by hand because autograd over slices of keys would allocate full-size gradients for every block, and because
    grouped key heads need no copies this way.
    """

    @staticmethod
    def forward(
        ctx: Any,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        blocks: list[_Block],
        scale: float,
    ) -> torch.Tensor:
        heads, tokens, size = query.shape
        groups = key.shape[0]
        output = query.new_empty(tokens, heads, size)
        logsumexp = query.new_empty(
            heads, tokens, dtype=torch.promote_types(query.dtype, torch.float32)
        )
        for block in blocks:
            folded = block.fold(query, groups)
            results: list[tuple[torch.Tensor, torch.Tensor]] = [
                torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
                    folded,
                    _gather_spans(key, spans, folded.shape[1]),
                    _gather_spans(value, spans, folded.shape[1]),
                    attn_mask=mask,
                    scale=scale,
                )
                for spans, mask in block.list_keys(folded)
            ]
            attended, total = functools.reduce(_mix, results)
            output[block.start : block.stop] = attended.reshape(heads, -1, size).transpose(0, 1)
            logsumexp[:, block.start : block.stop] = total.reshape(heads, -1)
        ctx.save_for_backward(query, key, value, output, logsumexp)
        ctx.blocks = blocks
        ctx.scale = scale
        return output

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> Any:
        # In float32 at least: the kernel is no slower so, and sums over blocks round less.
        *halves, logsumexp = ctx.saved_tensors
        query, key, value, output = (tensor.to(logsumexp.dtype) for tensor in halves)
        heads, _, size = query.shape
        groups = key.shape[0]
        # heads x tokens x size, like the query
        output = output.transpose(0, 1)
        gradient = gradients[0].transpose(0, 1).to(query.dtype)
        query_gradient = torch.empty_like(query)
        key_gradient = torch.zeros_like(key)
        value_gradient = torch.zeros_like(value)
        for block in ctx.blocks:
            folded, folded_output, folded_gradient, folded_logsumexp = (
                block.fold(tensor, groups) for tensor in (query, output, gradient, logsumexp)
            )
            total = torch.zeros_like(folded)
            for spans, mask in block.list_keys(folded):
                of_query, of_keys, of_values = (
                    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward(
                        folded_gradient,
                        folded,
                        _gather_spans(key, spans, folded.shape[1]),
                        _gather_spans(value, spans, folded.shape[1]),
                        folded_output,
                        folded_logsumexp,
                        0.0,
                        False,
                        attn_mask=mask,
                        scale=ctx.scale,
                    )
                )
                total += of_query
                _scatter_spans(key_gradient, spans, of_keys)
                _scatter_spans(value_gradient, spans, of_values)
            query_gradient[:, block.start : block.stop] = total.view(heads, -1, size)
        dtype = gradients[0].dtype
        return (
            query_gradient.to(dtype),
            key_gradient.to(dtype),
            value_gradient.to(dtype),
            None,
            None,
        )
