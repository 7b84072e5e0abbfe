"""Keys and values of a decode batch: prefilled from packed rows, then grown by one token a sequence and step."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Protocol

import torch
from transformers import DynamicCache

from memory_r1_engine.language_model import LanguageModel
from memory_r1_engine.packing import PackedRow

_FIRST_CAPACITY = 32
_UNUSED_PROMPT_SHARE = 4


class PrefillReader(Protocol):
    """Sees the hidden states of every prompt's tokens (tokens x hidden size) as they are prefilled."""

    def __call__(self, prompt: int, hidden: torch.Tensor) -> None: ...


class DecodeSession(Protocol):
    """A batch of sequences, each continuing one of the prompts. Only `keep` changes their order and number."""

    def prefill(self, rows: Sequence[PackedRow], read: PrefillReader) -> None:
        """Run the prompts, packed into `rows`."""
        ...

    def step(self, tokens: Sequence[int]) -> torch.Tensor:
        """Append one token to each sequence; returns its hidden states, sequences x hidden size."""
        ...

    def keep(self, indices: Sequence[int]) -> None:
        """Go on with these sequences only, in this order."""
        ...


def start_decoding(
    model: LanguageModel, prompts: Sequence[Sequence[int]], owners: Sequence[int]
) -> DecodeSession:
    """A session for sequences that continue `prompts[owners[i]]`; owners ascend."""
    if model.supports_packing:
        return _TreeDecoding(model, [len(prompt) for prompt in prompts], owners)
    return _CacheDecoding(model, owners)


class _TreeDecoding:
    """One row of prompt keys for each distinct prompt, whose samples attend as one block of queries.

    Also the attention pass of a decode step: queries of all sequences come as one row of tokens.
    """

    def __init__(self, model: LanguageModel, lengths: Sequence[int], owners: Sequence[int]) -> None:
        self._model = model
        self._lengths = torch.tensor(lengths, device=model.device)
        self._owners = list(owners)
        self._steps = 0
        # By layer: prompts x key heads x tokens x size, and sequences x key heads x steps x size.
        self._prompt_keys: dict[int, torch.Tensor] = {}
        self._prompt_values: dict[int, torch.Tensor] = {}
        self._own_keys: dict[int, torch.Tensor] = {}
        self._own_values: dict[int, torch.Tensor] = {}
        self._place()

    def prefill(self, rows: Sequence[PackedRow], read: PrefillReader) -> None:
        for row in rows:
            hidden = self._model.run_row(row, _RowSink(self, row))
            for member in row.members:
                read(member.index, hidden[member.nodes])

    def store_prompt(
        self, layer: int, prompt: int, nodes: torch.Tensor, key: torch.Tensor, value: torch.Tensor
    ) -> None:
        """Copy a prompt's keys and values (heads x row's tokens x size) out of a prefilled row."""
        if layer not in self._prompt_keys:
            shape = (len(self._lengths), key.shape[0], int(self._lengths.max()), key.shape[-1])
            # Zeros, not empty: padding has probability 0, and 0 times a stray NaN is not 0.
            self._prompt_keys[layer] = key.new_zeros(shape)
            self._prompt_values[layer] = value.new_zeros(shape)
        self._prompt_keys[layer][prompt, :, : len(nodes)] = key[:, nodes]
        self._prompt_values[layer][prompt, :, : len(nodes)] = value[:, nodes]

    def step(self, tokens: Sequence[int]) -> torch.Tensor:
        last = self._model.max_context_length - 1
        positions = (self._lengths[self._owner_index] + self._steps).clamp_(max=last).tolist()
        hidden = self._model.run_attention(tokens, positions, self)
        self._steps += 1
        return hidden

    def keep(self, indices: Sequence[int]) -> None:
        index = torch.tensor(indices, device=self._model.device)
        for buffers in (self._own_keys, self._own_values):
            for layer, tensor in buffers.items():
                buffers[layer] = tensor[index]
        self._owners = [self._owners[position] for position in indices]
        used = sorted(set(self._owners))
        if (len(self._lengths) - len(used)) * _UNUSED_PROMPT_SHARE >= len(self._lengths):
            kept = torch.tensor(used, device=self._model.device)
            self._lengths = self._lengths[kept]
            longest = int(self._lengths.max())
            for buffers in (self._prompt_keys, self._prompt_values):
                for layer, tensor in buffers.items():
                    buffers[layer] = tensor[kept, :, :longest]
            renumbered = {owner: position for position, owner in enumerate(used)}
            self._owners = [renumbered[owner] for owner in self._owners]
        self._place()

    def attend(
        self,
        layer: int,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        scale: float,
    ) -> torch.Tensor:
        own_keys = self._append(self._own_keys, layer, key)
        own_values = self._append(self._own_values, layer, value)
        prompt_keys = self._prompt_keys[layer]
        prompt_values = self._prompt_values[layer]
        prompts, groups, longest, size = prompt_keys.shape
        sequences = query.shape[1]
        # sequences x key heads x group members x size
        grouped = (query * scale).view(groups, -1, sequences, size).permute(2, 0, 1, 3)
        members = grouped.shape[2]

        folded = self._to_grid(grouped).permute(0, 2, 1, 3, 4)
        folded = folded.reshape(prompts * groups, -1, size)
        prompt_scores = torch.bmm(folded, prompt_keys.view(prompts * groups, longest, size).mT)
        prompt_scores = prompt_scores.view(prompts, groups, self._columns, members, longest)
        prompt_scores = self._from_grid(prompt_scores.permute(0, 2, 1, 3, 4))
        own_scores = torch.matmul(grouped, own_keys.mT)
        scores = torch.cat([prompt_scores, own_scores], dim=-1)
        if self._padding is not None:
            scores[..., :longest].masked_fill_(self._padding, float("-inf"))
        weights = torch.softmax(scores, dim=-1)

        prompt_weights = self._to_grid(weights[..., :longest]).permute(0, 2, 1, 3, 4)
        prompt_weights = prompt_weights.reshape(prompts * groups, -1, longest)
        attended = torch.bmm(
            prompt_weights, prompt_values.view(prompts * groups, longest, size)
        ).view(prompts, groups, self._columns, members, size)
        output = self._from_grid(attended.permute(0, 2, 1, 3, 4))
        output = output + torch.matmul(weights[..., longest:], own_values)
        return output.reshape(sequences, groups * members, size)

    def _append(
        self, buffers: dict[int, torch.Tensor], layer: int, new: torch.Tensor
    ) -> torch.Tensor:
        """Store this step's vectors (heads x sequences x size); returns all of the sequences' own so far."""
        heads, sequences, size = new.shape
        buffer = buffers.get(layer)
        if buffer is None or self._steps == buffer.shape[2]:
            capacity = max(_FIRST_CAPACITY, 2 * self._steps)
            grown = new.new_empty(sequences, heads, capacity, size)
            if buffer is not None:
                grown[:, :, : self._steps] = buffer
            buffers[layer] = buffer = grown
        buffer[:, :, self._steps] = new.transpose(0, 1)
        return buffer[:, :, : self._steps + 1]

    def _place(self) -> None:
        """Give every sequence a cell of the grid prompts x columns, where columns is the most sequences of a prompt."""
        counts: Counter[int] = Counter()
        cells = []
        for owner in self._owners:
            cells.append((owner, counts[owner]))
            counts[owner] += 1
        self._columns = max(counts.values())
        device = self._model.device
        self._owner_index = torch.tensor(self._owners, device=device)
        slots = [owner * self._columns + column for owner, column in cells]
        is_full = slots == list(range(len(self._lengths) * self._columns))
        self._slots = None if is_full else torch.tensor(slots, device=device)
        longest = int(self._lengths.max())
        self._padding: torch.Tensor | None = None
        if bool((self._lengths != longest).any()):
            padding = torch.arange(longest, device=device)[None, :] >= self._lengths[:, None]
            self._padding = padding[self._owner_index][:, None, None, :]

    def _to_grid(self, tensor: torch.Tensor) -> torch.Tensor:
        """sequences x ... -> prompts x columns x ..., empty cells zero."""
        cells = len(self._lengths) * self._columns
        if self._slots is not None:
            grid = tensor.new_zeros(cells, *tensor.shape[1:])
            grid[self._slots] = tensor
            tensor = grid
        return tensor.reshape(len(self._lengths), self._columns, *tensor.shape[1:])

    def _from_grid(self, grid: torch.Tensor) -> torch.Tensor:
        """prompts x columns x ... -> sequences x ..."""
        if self._slots is None:
            return grid.flatten(0, 1)
        return grid[self._slots // self._columns, self._slots % self._columns]


class _RowSink:
    """Hands the keys and values of one packed row to the prompts in it."""

    def __init__(self, session: _TreeDecoding, row: PackedRow) -> None:
        self._session = session
        self._nodes = [(member.index, torch.tensor(member.nodes)) for member in row.members]

    def store(self, layer: int, key: torch.Tensor, value: torch.Tensor) -> None:
        for prompt, nodes in self._nodes:
            self._session.store_prompt(layer, prompt, nodes.to(key.device), key, value)


class _CacheDecoding:
    """For models without tree attention: transformers' own cache, one batch for each prompt's samples."""

    def __init__(self, model: LanguageModel, owners: Sequence[int]) -> None:
        self._model = model
        self._owners = list(owners)
        self._lengths: dict[int, int] = {}
        self._caches: dict[int, DynamicCache] = {}

    def prefill(self, rows: Sequence[PackedRow], read: PrefillReader) -> None:
        samples = Counter(self._owners)
        for row in rows:
            for member in row.members:
                cache = DynamicCache(config=self._model.model.config)
                tokens = [row.tokens[node] for node in member.nodes]
                hidden = self._model.run_cached([tokens], 0, cache)
                read(member.index, hidden[0])
                cache.batch_repeat_interleave(samples[member.index])
                self._caches[member.index] = cache
                self._lengths[member.index] = len(tokens)

    def step(self, tokens: Sequence[int]) -> torch.Tensor:
        parts = []
        last = self._model.max_context_length - 1
        for owner in sorted(set(self._owners)):
            column = [
                [token] for token, other in zip(tokens, self._owners, strict=True) if other == owner
            ]
            position = min(self._lengths[owner], last)
            parts.append(self._model.run_cached(column, position, self._caches[owner])[:, 0])
            self._lengths[owner] += 1
        return torch.cat(parts)

    def keep(self, indices: Sequence[int]) -> None:
        kept = set(indices)
        for owner in set(self._owners):
            own = [index for index, other in enumerate(self._owners) if other == owner]
            remaining = [place for place, index in enumerate(own) if index in kept]
            if remaining:
                self._caches[owner].batch_select_indices(
                    torch.tensor(remaining, device=self._model.device)
                )
            else:
                del self._caches[owner]
        self._owners = [self._owners[index] for index in indices]
