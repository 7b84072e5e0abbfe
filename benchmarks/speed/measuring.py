"""What both workers share: the task, the settings, and the conversation with the command (worker-process.ts).

A worker prints one JSON line when it is ready, then for each line on its standard input runs one step and prints one
JSON line with the measurement. Between steps it waits and uses no processor, so that two workers can take turns.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import random
import resource
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

LORA_RANK = 16
LORA_ALPHA = 32
LEARNING_RATE = 1e-5
GRADIENT_CLIP_NORM = 1.0
ADVANTAGE_EPSILON = 1e-4
"""TRL's; the engine leaves the advantages to its caller."""

_NAMES = ("Ada", "Bruno", "Chiara", "Deniz", "Elif", "Farid", "Greta", "Hugo", "Ines", "Jonas")
_ACTS = ("bought", "repaired", "painted", "lost", "found", "sold", "borrowed", "returned")
_THINGS = ("bicycle", "garden chair", "telescope", "violin", "raincoat", "kettle", "map", "lamp")
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


@dataclass(frozen=True)
class Shape:
    """One group of completions of `completion_tokens` each, to one prompt of `prompt_tokens`."""

    prompt_tokens: int
    completion_tokens: int


WARM_UP = Shape(64, 4)
"""The first step of a worker, which is not measured: it loads what is loaded on first use."""


@dataclass(frozen=True)
class Step:
    """What is computed at once. `number` decides prompt, completions and rewards; 0 is the warm-up."""

    number: int
    shape: Shape


@dataclass(frozen=True)
class Settings:
    """The command line of a worker."""

    model: Path
    mode: Literal["update", "step"]
    """`update`: on given completions, the same for both workers. `step`: each samples its own first."""
    dtype: Literal["float32", "bfloat16"]
    device: str
    threads: int
    seed: int
    group_size: int
    steps: tuple[Step, ...]
    """The warm-up first."""
    completions_per_pass: int
    """How many completions TRL's update takes at once; the engine packs by tokens and takes them all."""
    adapter: Path
    """Where the engine's worker writes the adapter that both start from, in PEFT's format."""
    random_weights: bool
    """The model was never trained: it does not end a turn before the limit."""


@dataclass(frozen=True)
class Measurement:
    """One step. Seconds are wall clock, processor seconds are summed over threads.

    The update is loss, backward pass, clipping and optimiser step; the whole step has sampling, rewards and advantages
    before it (None where completions were given). `tokens_computed` are the positions that the update's forward pass
    runs the decoder on.
    """

    update_seconds: float
    step_seconds: float | None
    update_processor_seconds: float
    step_processor_seconds: float | None
    tokens_computed: int
    prompt_tokens: int
    completion_tokens: int
    gradient_norm: float
    peak_memory_mib: float


@dataclass(frozen=True)
class Instant:
    """A moment on two clocks."""

    wall: float
    processor: float


def read_clocks(device: str) -> Instant:
    """The clocks, once the device has done what it was given."""
    if device.startswith("cuda"):
        import torch

        torch.cuda.synchronize(device)
    return Instant(time.perf_counter(), time.process_time())


def parse_settings() -> Settings:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--mode", choices=("update", "step"), required=True)
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), required=True)
    parser.add_argument("--device", required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--group-size", type=int, required=True)
    parser.add_argument("--prompt-tokens", type=int, required=True)
    parser.add_argument("--completion-tokens", type=int, required=True)
    parser.add_argument("--steps", type=int, nargs="+", required=True)
    parser.add_argument("--completions-per-pass", type=int, required=True)
    parser.add_argument("--adapter", type=Path, required=True)
    parser.add_argument("--random-weights", action="store_true")
    given = parser.parse_args()
    shape = Shape(given.prompt_tokens, given.completion_tokens)
    return Settings(
        model=given.model,
        mode=given.mode,
        dtype=given.dtype,
        device=given.device,
        threads=given.threads,
        seed=given.seed,
        group_size=given.group_size,
        steps=(Step(0, WARM_UP), *(Step(number, shape) for number in given.steps)),
        completions_per_pass=given.completions_per_pass,
        adapter=given.adapter,
        random_weights=given.random_weights,
    )


def make_prompts(tokenizer: Any, settings: Settings) -> list[str]:
    """One prompt of invented sentences for each step, of exactly the shape's number of tokens."""
    return [
        _make_prompt(tokenizer, step.shape.prompt_tokens, f"{settings.seed}/prompt {step.number}")
        for step in settings.steps
    ]


def make_completions(tokenizer: Any, settings: Settings, step: Step) -> list[list[int]]:
    """Completions for the mode `update`: random tokens of the vocabulary, none of which ends a turn."""
    generator = random.Random(f"{settings.seed}/completions {step.number}")
    special = set(tokenizer.all_special_ids)
    ordinary = [token for token in sorted(tokenizer.get_vocab().values()) if token not in special]
    return [
        generator.choices(ordinary, k=step.shape.completion_tokens)
        for _ in range(settings.group_size)
    ]


def _make_prompt(tokenizer: Any, length: int, seed: str) -> str:
    generator = random.Random(seed)
    # A cut inside a word may join differently when it is read again: then other sentences are tried.
    for _ in range(100):
        sentences: list[str] = []
        tokens: list[int] = []
        while len(tokens) < length:
            sentences.append(
                f"{generator.choice(_NAMES)} {generator.choice(_ACTS)} a {generator.choice(_THINGS)}"
                f" on {generator.choice(_DAYS)}, {generator.randint(1, 28)} May."
            )
            tokens = tokenizer(" ".join(sentences))["input_ids"]
        text: str = tokenizer.decode(tokens[:length])
        if tokenizer(text)["input_ids"] == tokens[:length]:
            return text
    raise RuntimeError(f"no prompt of exactly {length} tokens: the tokenizer does not round-trip")


def make_rewards(settings: Settings, step: Step) -> list[float]:
    """Random rewards in 0..1, the same in both workers: no group is without a spread."""
    generator = random.Random(f"{settings.seed}/rewards {step.number}")
    return [generator.random() for _ in range(settings.group_size)]


class Conversation:
    """The exchange of lines with run.ts, on the standard input and output that this process started with."""

    def __init__(self) -> None:
        # Libraries print to the standard output: from here on that is the standard error output.
        sys.stdout.flush()
        self._output = os.fdopen(os.dup(1), "w", encoding="utf-8")
        os.dup2(2, 1)

    def send_ready(
        self,
        *,
        prompts: Sequence[Sequence[int]],
        threads: int,
        trainable_parameters: int,
        libraries: Sequence[str],
    ) -> None:
        """Say what is about to be measured: run.ts compares it between the workers."""
        self._send(
            {
                "promptsSha256": hashlib.sha256(json.dumps(prompts).encode()).hexdigest(),
                "threads": threads,
                "trainableParameters": trainable_parameters,
                "versions": {
                    "python": platform.python_version(),
                    **{name: version(name) for name in libraries},
                },
            }
        )

    def wait_for_turn(self) -> Literal["measure", "flops"]:
        """Block until run.ts asks for the next step, or for the work in one; the end of its input ends this process."""
        line = sys.stdin.readline()
        if line == "":
            raise SystemExit(0)
        return "flops" if line.strip() == "flops" else "measure"

    def send_flops(self, flops: int) -> None:
        self._send({"flops": flops})

    def send_measurement(self, measurement: Measurement) -> None:
        self._send({_to_camel_case(key): value for key, value in asdict(measurement).items()})

    def _send(self, message: dict[str, Any]) -> None:
        self._output.write(json.dumps(message) + "\n")
        self._output.flush()


def _to_camel_case(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(word.capitalize() for word in others)


def read_peak_memory_mib(device: str) -> float:
    """The most memory that this process has had so far: on a GPU allocated by torch, on a CPU resident."""
    if device.startswith("cuda"):
        import torch

        return float(torch.cuda.max_memory_allocated(device)) / 2**20
    status = Path("/proc/self/status")
    if status.exists():
        # Of this program alone; ru_maxrss also knows what the process was before it became this program.
        for line in status.read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # In bytes on macOS, in KiB elsewhere.
    return peak / 2**20 if sys.platform == "darwin" else peak / 1024
