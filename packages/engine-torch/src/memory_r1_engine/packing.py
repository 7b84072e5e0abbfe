"""Shared-prefix packing: token sequences become rows that hold every node of their prefix tree once.

A row lists the nodes of a prefix forest in depth-first order. A node's position is its depth, and it sees its ancestors
and itself only, so its activations equal those of the same token in a row of its own. In this order a node's subtree is
a contiguous range, which makes "k is an ancestor of q or q itself" the test `k <= q < subtree_ends[k]`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

Span = tuple[int, int]

_NEGLIGIBLE_SHARE = 16
"""A row is closed although the next sequence shares tokens with it, if that repeats at most 1/16 of its tokens."""


@dataclass(frozen=True)
class RowMember:
    """Where the tokens of one sequence lie in a row: token i of sequence `index` is node `nodes[i]`."""

    index: int
    nodes: list[int]


@dataclass(frozen=True)
class PackedRow:
    """The nodes of a prefix forest in depth-first order; the three lists are equally long."""

    tokens: list[int]
    positions: list[int]
    subtree_ends: list[int]
    members: list[RowMember]


@dataclass(frozen=True)
class AttentionBlock:
    """Queries `start..stop` of a row and the earlier spans that all of them see.

    Within `start..stop` itself the tree decides (`k <= q < subtree_ends[k]`); no other key is visible.
    """

    start: int
    stop: int
    ancestors: tuple[Span, ...]


def count_common_prefix(first: Sequence[int], second: Sequence[int]) -> int:
    """The number of leading tokens that both sequences share."""
    shared = 0
    for left, right in zip(first, second, strict=False):
        if left != right:
            break
        shared += 1
    return shared


def pack_sequences(
    sequences: Sequence[Sequence[int]],
    token_budget: int,
    *,
    share: bool = True,
    target_tokens: int = 0,
) -> list[PackedRow]:
    """Pack non-empty sequences into rows of at most `token_budget` nodes (a longer sequence has a row of its own).

    Sequences are sorted, so that neighbours share the longest prefixes, and fill rows in that order. A row that has
    `target_tokens` nodes is also closed before a sequence that shares little with it (a chat template's first tokens):
    another prompt would only cost memory. `share=False` gives every sequence its own row.
    """
    order = sorted(range(len(sequences)), key=lambda index: tuple(sequences[index]))
    rows: list[PackedRow] = []
    builder = _RowBuilder()
    for index in order:
        sequence = sequences[index]
        shared = builder.count_shared(sequence)
        size = len(builder.tokens)
        over_budget = size + len(sequence) - shared > token_budget
        large_enough = size >= target_tokens > 0 and shared * _NEGLIGIBLE_SHARE <= size
        if size > 0 and (not share or over_budget or large_enough):
            rows.append(builder.build())
            builder = _RowBuilder()
        builder.add(index, sequence)
    if builder.tokens:
        rows.append(builder.build())
    return rows


class _RowBuilder:
    """Adds sorted sequences to a prefix forest, one root-to-leaf path at a time."""

    def __init__(self) -> None:
        self.tokens: list[int] = []
        self._positions: list[int] = []
        self._ends: list[int] = []
        self._members: list[RowMember] = []
        self._path: list[int] = []

    def count_shared(self, sequence: Sequence[int]) -> int:
        """Leading tokens already in the row; sorted order makes the last path the one that shares most."""
        return count_common_prefix(sequence, [self.tokens[node] for node in self._path])

    def add(self, index: int, sequence: Sequence[int]) -> None:
        shared = self.count_shared(sequence)
        self._close(shared)
        for depth in range(shared, len(sequence)):
            self._path.append(len(self.tokens))
            self.tokens.append(sequence[depth])
            self._positions.append(depth)
            self._ends.append(-1)
        # A sequence that is a prefix of the path (an exact duplicate, in sorted order) adds no node.
        self._members.append(RowMember(index, self._path[: len(sequence)]))

    def build(self) -> PackedRow:
        self._close(0)
        return PackedRow(self.tokens, self._positions, self._ends, self._members)

    def _close(self, depth: int) -> None:
        """End the subtrees of all path nodes at `depth` and deeper."""
        for node in self._path[depth:]:
            self._ends[node] = len(self.tokens)
        del self._path[depth:]


def plan_attention(subtree_ends: Sequence[int], query_limit: int) -> list[AttentionBlock]:
    """Cut a row into blocks of about `query_limit` queries whose visible keys are few contiguous spans.

    Attention over a whole row would compute every pair of its branches only to mask it. Blocks follow the tree instead:
    small neighbouring subtrees share a block, the trunk of a large one is cut into pieces.
    """
    blocks: list[AttentionBlock] = []
    # Explicit stack: a tree may be deeper than Python's recursion limit allows.
    pending: list[tuple[int, int, tuple[Span, ...]]] = [(0, len(subtree_ends), ())]
    while pending:
        start, stop, ancestors = pending.pop()
        position = start
        while position < stop:
            end = subtree_ends[position]
            if end - position > query_limit:
                trunk = position
                while trunk + 1 < end and subtree_ends[trunk + 1] == end:
                    trunk += 1
                path = ancestors
                for piece in range(position, trunk + 1, query_limit):
                    piece_end = min(piece + query_limit, trunk + 1)
                    blocks.append(AttentionBlock(piece, piece_end, path))
                    path = merge_spans((*path, (piece, piece_end)))
                if trunk + 1 < end:
                    pending.append((trunk + 1, end, path))
                position = end
                continue
            group_end = end
            while group_end < stop and subtree_ends[group_end] - position <= query_limit:
                group_end = subtree_ends[group_end]
            blocks.append(AttentionBlock(position, group_end, ancestors))
            position = group_end
    return sorted(blocks, key=lambda block: block.start)


def merge_spans(spans: Sequence[Span]) -> tuple[Span, ...]:
    """Join ascending spans that touch."""
    merged: list[Span] = []
    for start, stop in spans:
        if merged and merged[-1][1] == start:
            merged[-1] = (merged[-1][0], stop)
        else:
            merged.append((start, stop))
    return tuple(merged)
