"""Keys and values of a decode batch: those of its prompts, and those of its sequences, which grow by a token a step."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Protocol

import torch
from transformers import DynamicCache

from memory_r1_engine.language_model import LanguageModel
from memory_r1_engine.prefix_cache import HiddenReader, PrefixBlock, PromptReader

_FIRST_CAPACITY = 32
_UNUSED_PROMPT_SHARE = 4

PromptHiddenReader = Callable[[int], HiddenReader | None]
"""What is to see the hidden states of prompt i's tokens, if anything is."""


class DecodeSession(Protocol):
    """A batch of sequences, each continuing a prompt. Only `add` and `keep` change their order and number."""

    def add(
        self, prompts: Sequence[Sequence[int]], owners: Sequence[int], see: PromptHiddenReader
    ) -> list[torch.Tensor]:
        """Take in sequences that continue `prompts[owners[i]]` (owners ascend), behind those that are there.

        Returns the hidden state of every prompt's last token.
        """
        ...

    def step(self, tokens: Sequence[int]) -> torch.Tensor:
        """Append one token to each sequence; returns its hidden states, sequences x hidden size."""
        ...

    def keep(self, indices: Sequence[int]) -> None:
        """Go on with these sequences only, in this order."""
        ...


def start_decoding(model: LanguageModel, reader: PromptReader) -> DecodeSession:
    """A session without sequences."""
    return _TreeDecoding(model, reader) if model.supports_packing else _CacheDecoding(model)


class _TreeDecoding:
    """One row of prompt keys for each distinct prompt, whose samples attend as one block of queries.

    Also the attention pass of a decode step: queries of all sequences come as one row of tokens. The sequences' own
    keys are aligned at their newest token; what lies before a sequence's first is masked.
    """

    def __init__(self, model: LanguageModel, reader: PromptReader) -> None:
        self._model = model
        self._reader = reader
        # By row of prompt keys; by sequence: its row, and its first column of own keys.
        self._lengths: list[int] = []
        self._owners: list[int] = []
        self._starts: list[int] = []
        self._steps = 0
        # By layer: rows x key heads x tokens x size, and sequences x key heads x steps x size.
        self._prompt_keys: dict[int, torch.Tensor] = {}
        self._prompt_values: dict[int, torch.Tensor] = {}
        self._own_keys: dict[int, torch.Tensor] = {}
        self._own_values: dict[int, torch.Tensor] = {}

    def add(
        self, prompts: Sequence[Sequence[int]], owners: Sequence[int], see: PromptHiddenReader
    ) -> list[torch.Tensor]:
        used = set(self._owners)
        free = [row for row in range(len(self._lengths)) if row not in used]
        rows = [*free, *range(len(self._lengths), len(self._lengths) + len(prompts))]
        for row, prompt in zip(rows, prompts, strict=False):
            if row == len(self._lengths):
                self._lengths.append(0)
            self._lengths[row] = len(prompt)
        last_hidden = []
        for index, prompt in enumerate(prompts):
            blocks = self._reader.read(prompt, see(index))
            self._store_prompt(rows[index], blocks)
            last_hidden.append(blocks[-1].last_hidden)
        self._owners += [rows[owner] for owner in owners]
        self._starts += [self._steps] * len(owners)
        if self._steps > 0:
            for buffers in (self._own_keys, self._own_values):
                for layer, tensor in buffers.items():
                    # Zeros, not empty: see _store_prompt.
                    new = tensor.new_zeros(len(owners), *tensor.shape[1:])
                    buffers[layer] = torch.cat([tensor, new])
        else:
            self._own_keys.clear()
            self._own_values.clear()
        self._place()
        return last_hidden

    def _store_prompt(self, row: int, blocks: Sequence[PrefixBlock]) -> None:
        """Copy a prompt's keys and values into their row, enlarging the rows where they do not hold it."""
        longest = max(self._lengths)
        for layer, pair in blocks[0].layers.items():
            for number, buffers in enumerate((self._prompt_keys, self._prompt_values)):
                heads, _, size = pair[number].shape
                buffer = buffers.get(layer)
                if buffer is None or buffer.shape[0] <= row or buffer.shape[2] < longest:
                    # Zeros, not empty: padding has probability 0, and 0 times a stray NaN is not 0.
                    grown = pair[number].new_zeros(len(self._lengths), heads, longest, size)
                    if buffer is not None:
                        grown[: buffer.shape[0], :, : buffer.shape[2]] = buffer
                    buffers[layer] = buffer = grown
                start = 0
                for block in blocks:
                    part = block.layers[layer][number]
                    buffer[row, :, start : start + part.shape[1]] = part
                    start += part.shape[1]

    def step(self, tokens: Sequence[int]) -> torch.Tensor:
        last = self._model.max_context_length - 1
        positions = [
            min(self._lengths[owner] + self._steps - start, last)
            for owner, start in zip(self._owners, self._starts, strict=True)
        ]
        hidden = self._model.run_attention(tokens, positions, self)
        self._steps += 1
        return hidden

    def keep(self, indices: Sequence[int]) -> None:
        self._starts = [self._starts[position] for position in indices]
        self._owners = [self._owners[position] for position in indices]
        # Columns before every remaining sequence's first hold nothing any more.
        surplus = min(self._starts, default=self._steps)
        index = torch.tensor(indices, dtype=torch.long, device=self._model.device)
        for buffers in (self._own_keys, self._own_values):
            for layer, tensor in buffers.items():
                buffers[layer] = tensor[index, :, surplus:]
        self._steps -= surplus
        self._starts = [start - surplus for start in self._starts]
        used = sorted(set(self._owners))
        if used and (len(self._lengths) - len(used)) * _UNUSED_PROMPT_SHARE >= len(self._lengths):
            kept = torch.tensor(used, device=self._model.device)
            self._lengths = [self._lengths[row] for row in used]
            longest = max(self._lengths)
            for buffers in (self._prompt_keys, self._prompt_values):
                for layer, tensor in buffers.items():
                    buffers[layer] = tensor[kept, :, :longest]
            renumbered = {owner: position for position, owner in enumerate(used)}
            self._owners = [renumbered[owner] for owner in self._owners]
        if used:
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
        if self._unborn is not None:
            width = min(self._unborn.shape[-1], self._steps + 1)
            own = scores[..., longest : longest + width]
            own.masked_fill_(self._unborn[..., :width], float("-inf"))
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
        rows = len(self._lengths)
        slots = [owner * self._columns + column for owner, column in cells]
        is_full = slots == list(range(rows * self._columns))
        self._slots = None if is_full else torch.tensor(slots, device=device)
        longest = next(iter(self._prompt_keys.values())).shape[2]
        self._padding: torch.Tensor | None = None
        lengths = [self._lengths[owner] for owner in self._owners]
        if min(lengths) < longest:
            self._padding = _mark_columns(longest, lengths, device).logical_not_()
        self._unborn: torch.Tensor | None = None
        if any(self._starts):
            self._unborn = _mark_columns(max(self._starts), self._starts, device)

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


def _mark_columns(count: int, ends: Sequence[int], device: torch.device) -> torch.Tensor:
    """True in the columns before each sequence's end, sequences x 1 x 1 x count."""
    columns = torch.arange(count, device=device)
    return (columns[None, :] < torch.tensor(ends, device=device)[:, None])[:, None, None, :]


class _CacheDecoding:
    """For models without tree attention: transformers' own cache, one batch for each prompt's samples."""

    def __init__(self, model: LanguageModel) -> None:
        self._model = model
        self._owners: list[int] = []
        self._lengths: dict[int, int] = {}
        self._caches: dict[int, DynamicCache] = {}
        self._prompts = 0

    def add(
        self, prompts: Sequence[Sequence[int]], owners: Sequence[int], see: PromptHiddenReader
    ) -> list[torch.Tensor]:
        samples = Counter(owners)
        last_hidden = []
        for index, prompt in enumerate(prompts):
            cache = DynamicCache(config=self._model.model.config)
            hidden = self._model.run_cached([prompt], 0, cache)[0]
            reader = see(index)
            if reader is not None:
                reader(hidden)
            last_hidden.append(hidden[-1])
            cache.batch_repeat_interleave(samples[index])
            self._caches[self._prompts + index] = cache
            self._lengths[self._prompts + index] = len(prompt)
        self._owners += [self._prompts + owner for owner in owners]
        self._prompts += len(prompts)
        return last_hidden

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
