"""How much memory a training call may take, what a row of tokens takes, and what to do when there is not enough.

The size of a row follows from the settings and the model's shape alone, never from what happens to be free: the
grouping of rows decides how sums round, and a resumed run must round as the interrupted one did.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, get_args

import torch

from memory_r1_engine.types import DEFAULT_ROW_TOKENS, EngineError

CheckpointingMode = Literal["auto", "on", "off"]
CHECKPOINTING_MODES: tuple[CheckpointingMode, ...] = get_args(CheckpointingMode)

GIB = 2**30


@dataclass(frozen=True)
class TrainingLimits:
    """How a training call is cut into rows.

    `row_tokens`: distinct tokens of one forward pass (a longer sequence still runs, alone). `memory_bytes`: what a row
    may need beside the weights, estimated; None is no bound. `checkpointing`: whether layers are computed again in the
    backward pass instead of being kept; `auto` does so only for a sequence that does not fit `memory_bytes` otherwise.
    """

    row_tokens: int = DEFAULT_ROW_TOKENS
    memory_bytes: int | None = None
    checkpointing: CheckpointingMode = "auto"

    def halve(self, largest_row: int) -> TrainingLimits:
        """For the second try, after a row of `largest_row` tokens did not fit."""
        return replace(self, row_tokens=max(1, largest_row // 2), checkpointing="on")


@dataclass(frozen=True)
class RowCosts:
    """Bytes that a row needs beside the weights: `fixed`, and for each token by the way that it is run."""

    fixed: int
    forward: int
    plain: int
    checkpointed: int

    def estimate(self, tokens: int, *, backward: bool, checkpointed: bool) -> int:
        return self.fixed + tokens * self._per_token(backward, checkpointed)

    def fit(self, memory_bytes: int, *, backward: bool, checkpointed: bool) -> int:
        """The largest row that fits, 0 where none does."""
        return max(0, (memory_bytes - self.fixed) // self._per_token(backward, checkpointed))

    def _per_token(self, backward: bool, checkpointed: bool) -> int:
        if not backward:
            return self.forward
        return self.checkpointed if checkpointed else self.plain


@dataclass(frozen=True)
class RowBudget:
    """What follows from limits and costs: the budget of packing, and which rows are checkpointed."""

    row_tokens: int
    limits: TrainingLimits
    costs: RowCosts
    backward: bool

    def is_checkpointed(self, tokens: int) -> bool:
        """Whether a row of so many tokens is run with checkpointing."""
        if not self.backward or self.limits.checkpointing == "off":
            return False
        if self.limits.checkpointing == "on":
            return True
        memory = self.limits.memory_bytes
        return memory is not None and tokens > self.costs.fit(
            memory, backward=True, checkpointed=False
        )

    def check_sequence(self, tokens: int, where: str) -> None:
        """Raises EngineError 400 for a sequence that does not fit by itself."""
        memory = self.limits.memory_bytes
        if memory is None:
            return
        needed = self.estimate(tokens)
        if needed <= memory:
            return
        remedy = "raise --training-memory-gib or shorten it"
        if self.backward and self.limits.checkpointing == "off":
            remedy = f"set --gradient-checkpointing auto, {remedy}"
        raise EngineError(
            400,
            f"{where}: {tokens} tokens need about {needed / GIB:.2f} GiB beside the weights, and "
            f"--training-memory-gib allows {memory / GIB:.2f}: {remedy}",
        )

    def estimate(self, tokens: int) -> int:
        """Bytes of a row of so many tokens, as it would be run."""
        return self.costs.estimate(
            tokens, backward=self.backward, checkpointed=self.is_checkpointed(tokens)
        )


def plan_budget(limits: TrainingLimits, costs: RowCosts, *, backward: bool) -> RowBudget:
    """Rows as large as the limits allow; in the mode `auto` as large as they fit without checkpointing."""
    row_tokens = limits.row_tokens
    if limits.memory_bytes is not None:
        fitting = costs.fit(
            limits.memory_bytes, backward=backward, checkpointed=limits.checkpointing == "on"
        )
        # 1: rows of one sequence each, which are checked one by one.
        row_tokens = max(1, min(row_tokens, fitting))
    return RowBudget(row_tokens, limits, costs, backward)


class TrainingMemoryError(Exception):
    """A row did not fit into memory."""

    def __init__(self, largest_row: int, reason: str) -> None:
        super().__init__(reason)
        self.largest_row = largest_row
        self.reason = reason


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error means that memory ran out, on a GPU, in torch's CPU allocator or in Python."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    text = str(error)
    return isinstance(error, RuntimeError) and (
        "DefaultCPUAllocator" in text or "out of memory" in text
    )


def start_peak(device: torch.device) -> None:
    """From here on `read_peak` counts, where the device can be asked to."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def read_peak(device: torch.device) -> int | None:
    """The most memory in use, in bytes: on CUDA since `start_peak`, on a CPU the process's since it began."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    return read_peak_resident()


def read_peak_resident() -> int | None:
    """The largest resident size of this process; None where the system does not tell."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        if sys.platform == "win32":
            return None
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024
    found = next((line.split()[1] for line in lines if line.startswith("VmHWM:")), None)
    return None if found is None else int(found) * 1024
