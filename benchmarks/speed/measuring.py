"""What both workers share: the task, the settings, and the conversation with run.ts.

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
from typing import Any

GROUP_SIZE = 8
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
    """One group of GROUP_SIZE completions of `completion_tokens` each, to one prompt of `prompt_tokens`."""

    prompt_tokens: int
    completion_tokens: int


WARM_UP = Shape(64, 4)
"""The first step of a worker, which is not measured: it loads what is loaded on first use."""


@dataclass(frozen=True)
class Settings:
    """The command line of a worker."""

    model: Path
    dtype: str
    threads: int
    seed: int
    shapes: tuple[Shape, ...]
    """Of every step in order, the warm-up first."""
    completions_per_pass: int
    """How many completions TRL's update takes at once; the engine packs by tokens and takes them all."""


@dataclass(frozen=True)
class Measurement:
    """One step. Seconds are wall clock, processor seconds are summed over threads.

    The update is loss, backward pass, clipping and optimiser step; the whole step has sampling, rewards and advantages
    before it. `tokens_computed` are the positions that the update's forward pass runs the decoder on.
    """

    update_seconds: float
    step_seconds: float
    update_processor_seconds: float
    step_processor_seconds: float
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


def read_clocks() -> Instant:
    return Instant(time.perf_counter(), time.process_time())


def parse_settings() -> Settings:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--prompt-tokens", type=int, required=True)
    parser.add_argument("--completion-tokens", type=int, required=True)
    parser.add_argument("--repetitions", type=int, required=True)
    parser.add_argument("--completions-per-pass", type=int, default=GROUP_SIZE)
    given = parser.parse_args()
    shape = Shape(given.prompt_tokens, given.completion_tokens)
    return Settings(
        given.model,
        given.dtype,
        given.threads,
        given.seed,
        (WARM_UP, *[shape] * given.repetitions),
        given.completions_per_pass,
    )


def make_prompts(tokenizer: Any, settings: Settings) -> list[str]:
    """One prompt of invented sentences for each step, of exactly the shape's number of tokens."""
    return [
        _make_prompt(tokenizer, shape.prompt_tokens, f"{settings.seed}/prompt {step}")
        for step, shape in enumerate(settings.shapes)
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


def make_rewards(settings: Settings, step: int) -> list[float]:
    """Random rewards in 0..1, the same in both workers: no group is without a spread."""
    generator = random.Random(f"{settings.seed}/rewards {step}")
    return [generator.random() for _ in range(GROUP_SIZE)]


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

    def wait_for_turn(self) -> None:
        """Block until run.ts asks for the next step; the end of its input ends this process."""
        if sys.stdin.readline() == "":
            raise SystemExit(0)

    def send_measurement(self, measurement: Measurement) -> None:
        self._send({_to_camel_case(key): value for key, value in asdict(measurement).items()})

    def _send(self, message: dict[str, Any]) -> None:
        self._output.write(json.dumps(message) + "\n")
        self._output.flush()


def _to_camel_case(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(word.capitalize() for word in others)


def read_peak_memory_mib() -> float:
    """The most memory that this process has had resident so far."""
    status = Path("/proc/self/status")
    if status.exists():
        # Of this program alone; ru_maxrss also knows what the process was before it became this program.
        for line in status.read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # In bytes on macOS, in KiB elsewhere.
    return peak / 2**20 if sys.platform == "darwin" else peak / 1024
