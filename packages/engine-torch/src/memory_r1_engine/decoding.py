"""Keys and values of a decode batch: those of its prompts, and those of its sequences, which grow with every step."""

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

    takes_runs: bool
    """Whether a step may append several tokens to a sequence."""

    def add(
        self, prompts: Sequence[Sequence[int]], owners: Sequence[int], see: PromptHiddenReader
    ) -> list[torch.Tensor]:
        """Take in sequences that continue `prompts[owners[i]]` (owners ascend), behind those that are there.

        Returns the hidden state of every prompt's last token.
        """
        ...

    def step(self, runs: Sequence[Sequence[int]]) -> torch.Tensor:
        """Append a run of tokens to each sequence, of one or more; returns the hidden states of all of them in order,
        tokens x hidden size."""
        ...

    def settle(self, kept: Sequence[int]) -> None:
        """Of the last step's runs only so many first tokens stay (0 for sequences that have joined since).

        To be called before the next step.
        """
        ...

    def keep(self, indices: Sequence[int]) -> None:
        """Go on with these sequences only, in this order."""
        ...


def start_decoding(model: LanguageModel, reader: PromptReader) -> DecodeSession:
    """A session without sequences."""
    return _TreeDecoding(model, reader) if model.supports_packing else _CacheDecoding(model)


class _TreeDecoding:
    """One row of prompt keys for each distinct prompt, whose samples attend as one block of queries.

    Also the attention pass of a decode step: queries of all sequences come as one row of tokens. Own keys of all
    sequences lie in the same columns, as many for each step as its longest run has tokens; a column that a sequence
    does not use is a gap to it, and masked.
    """

    takes_runs = True

    def __init__(self, model: LanguageModel, reader: PromptReader) -> None:
        self._model = model
        self._reader = reader
        # By row of prompt keys; by sequence: its row, and how many tokens of its own it has.
        self._lengths: list[int] = []
        self._owners: list[int] = []
        self._own_lengths: list[int] = []
        # Columns of own keys, how many of them are of a step that is not settled, and which of the others are gaps
        # (None: none is).
        self._columns_used = 0
        self._width = 0
        self._gaps: torch.Tensor | None = None
        # During a step: the cell of each token in the grid sequences x width; None where they are the same.
        self._cells: torch.Tensor | None = None
        # During a step: what of a run its queries do not see, width x width; None where a run is one token.
        self._later: torch.Tensor | None = None
        # By layer: rows x key heads x tokens x size, and sequences x key heads x columns x size.
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
        self._own_lengths += [0] * len(owners)
        if self._columns_used > 0:
            settled = self._columns_used - self._width
            before = len(self._owners) - len(owners)
            self._gaps = torch.cat(
                [
                    self._read_gaps(before, settled),
                    torch.ones(len(owners), settled, dtype=torch.bool, device=self._model.device),
                ]
            )
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

    def step(self, runs: Sequence[Sequence[int]]) -> torch.Tensor:
        self._compact()
        last = self._model.max_context_length - 1
        starts = [
            self._lengths[owner] + own
            for owner, own in zip(self._owners, self._own_lengths, strict=True)
        ]
        positions = [
            min(start + place, last)
            for start, run in zip(starts, runs, strict=True)
            for place in range(len(run))
        ]
        self._width = max(len(run) for run in runs)
        self._cells = self._later = None
        if self._width > 1:
            cells = [
                sequence * self._width + place
                for sequence, run in enumerate(runs)
                for place in range(len(run))
            ]
            self._cells = torch.tensor(cells, device=self._model.device)
            self._later = torch.ones(
                self._width, self._width, dtype=torch.bool, device=self._model.device
            ).triu_(1)
        self._columns_used += self._width
        tokens = [token for run in runs for token in run]
        return self._model.run_attention(tokens, positions, self)

    def settle(self, kept: Sequence[int]) -> None:
        width, self._width = self._width, 0
        for sequence, count in enumerate(kept):
            self._own_lengths[sequence] += count
        if self._gaps is None and all(count == width for count in kept):
            return
        new = _mark_rest(width, kept, self._model.device)
        self._gaps = torch.cat([self._read_gaps(len(kept), self._columns_used - width), new], dim=1)

    def _read_gaps(self, sequences: int, columns: int) -> torch.Tensor:
        if self._gaps is not None:
            return self._gaps
        return torch.zeros(sequences, columns, dtype=torch.bool, device=self._model.device)

    def _compact(self) -> None:
        """Move every sequence's own keys to the front, where most columns are gaps to all."""
        longest = max(self._own_lengths)
        if self._gaps is None or self._columns_used < 2 * longest + _FIRST_CAPACITY:
            return
        # Stable: the used columns of a sequence first, in their order.
        order = self._gaps.sort(dim=1, stable=True).indices[:, :longest, None]
        for buffers in (self._own_keys, self._own_values):
            for layer, tensor in buffers.items():
                index = order[:, None].expand(-1, tensor.shape[1], -1, tensor.shape[3])
                buffers[layer] = tensor.gather(2, index)
        self._gaps = None
        if min(self._own_lengths) < longest:
            self._gaps = _mark_rest(longest, self._own_lengths, self._model.device)
        self._columns_used = longest

    def keep(self, indices: Sequence[int]) -> None:
        self._own_lengths = [self._own_lengths[position] for position in indices]
        self._owners = [self._owners[position] for position in indices]
        index = torch.tensor(indices, dtype=torch.long, device=self._model.device)
        for buffers in (self._own_keys, self._own_values):
            for layer, tensor in buffers.items():
                buffers[layer] = tensor[index]
        if self._gaps is not None:
            self._gaps = self._gaps[index]
        if not indices:
            self._columns_used = self._width = 0
            self._gaps = None
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
        prompt_keys = self._prompt_keys[layer]
        prompt_values = self._prompt_values[layer]
        prompts, groups, longest, size = prompt_keys.shape
        sequences, width, heads = len(self._owners), self._width, query.shape[0]
        # sequences x heads x width x size
        own_keys = self._append(self._own_keys, layer, self._to_cells(key))
        own_values = self._append(self._own_values, layer, self._to_cells(value))
        # sequences x key heads x group members (each with the run's queries) x size
        grouped = self._to_cells(query * scale).reshape(sequences, groups, -1, size)
        members = grouped.shape[2]

        folded = self._to_grid(grouped).permute(0, 2, 1, 3, 4)
        folded = folded.reshape(prompts * groups, -1, size)
        prompt_scores = torch.bmm(folded, prompt_keys.view(prompts * groups, longest, size).mT)
        prompt_scores = prompt_scores.view(prompts, groups, self._columns, members, longest)
        prompt_scores = self._from_grid(prompt_scores.permute(0, 2, 1, 3, 4))
        own_scores = torch.matmul(grouped, own_keys.mT)
        # torch keeps another order of dimensions where both have it; the views below need the plain one.
        scores = torch.cat([prompt_scores, own_scores], dim=-1).contiguous()
        if self._padding is not None:
            scores[..., :longest].masked_fill_(self._padding[:, None, None, :], float("-inf"))
        if self._gaps is not None:
            settled = scores[..., longest : longest + self._columns_used - width]
            settled.masked_fill_(self._gaps[:, None, None, :], float("-inf"))
        if self._later is not None:
            run = scores.view(sequences, groups, -1, width, scores.shape[-1])[..., -width:]
            run.masked_fill_(self._later, float("-inf"))
        weights = torch.softmax(scores, dim=-1)

        prompt_weights = self._to_grid(weights[..., :longest]).permute(0, 2, 1, 3, 4)
        prompt_weights = prompt_weights.reshape(prompts * groups, -1, longest)
        attended = torch.bmm(
            prompt_weights, prompt_values.view(prompts * groups, longest, size)
        ).view(prompts, groups, self._columns, members, size)
        output = self._from_grid(attended.permute(0, 2, 1, 3, 4))
        output = output + torch.matmul(weights[..., longest:], own_values)
        if self._cells is None:
            return output.reshape(sequences, heads, size)
        output = output.reshape(sequences, heads, width, size).transpose(1, 2)
        return output.reshape(sequences * width, heads, size)[self._cells]

    def _to_cells(self, tensor: torch.Tensor) -> torch.Tensor:
        """heads x tokens x size -> sequences x heads x width x size; cells beyond a run's end are zero."""
        by_token = tensor.transpose(0, 1)
        if self._cells is None:
            return by_token.unsqueeze(2)
        heads, _, size = tensor.shape
        sequences = len(self._owners)
        # Zeros, not empty: see _store_prompt.
        grid = tensor.new_zeros(sequences * self._width, heads, size)
        grid[self._cells] = by_token
        return grid.view(sequences, self._width, heads, size).transpose(1, 2)

    def _append(
        self, buffers: dict[int, torch.Tensor], layer: int, new: torch.Tensor
    ) -> torch.Tensor:
        """Store this step's vectors (sequences x heads x width x size); returns all of the sequences' own so far."""
        sequences, heads, width, size = new.shape
        buffer = buffers.get(layer)
        used = self._columns_used
        if buffer is None or used > buffer.shape[2]:
            grown = new.new_empty(sequences, heads, max(_FIRST_CAPACITY, 2 * used), size)
            if buffer is not None:
                grown[:, :, : used - width] = buffer[:, :, : used - width]
            buffers[layer] = buffer = grown
        buffer[:, :, used - width : used] = new
        return buffer[:, :, :used]

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
            self._padding = _mark_rest(longest, lengths, device)

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


def _mark_rest(count: int, ends: Sequence[int], device: torch.device) -> torch.Tensor:
    """True in the columns from each sequence's end on, sequences x count."""
    columns = torch.arange(count, device=device)
    return columns[None, :] >= torch.tensor(ends, device=device)[:, None]


class _CacheDecoding:
    """For models without tree attention: transformers' own cache, one batch for each prompt's samples."""

    takes_runs = False

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

    def step(self, runs: Sequence[Sequence[int]]) -> torch.Tensor:
        parts = []
        last = self._model.max_context_length - 1
        for owner in sorted(set(self._owners)):
            column = [
                list(run) for run, other in zip(runs, self._owners, strict=True) if other == owner
            ]
            position = min(self._lengths[owner], last)
            parts.append(self._model.run_cached(column, position, self._caches[owner])[:, 0])
            self._lengths[owner] += 1
        return torch.cat(parts)

    def settle(self, kept: Sequence[int]) -> None:
        """Runs of one token: nothing is taken back."""

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
