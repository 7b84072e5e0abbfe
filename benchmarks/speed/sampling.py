"""What sampling saves by keeping prompts' beginnings and by drafts, and what a grammar costs it.

python benchmarks/speed/sampling.py MODEL_DIR packages/core/prompts/manager-compact.md, with PYTHONPATH set to
packages/engine-torch/src. Prints a JSON object for each part; the facts are invented.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, cast

import torch
from memory_r1_engine.chat import encode_chat
from memory_r1_engine.core import TorchEngine
from memory_r1_engine.types import Constraint, SampleJob

NAMES = ("Ada", "Bruno", "Chiara", "Deniz", "Elif", "Farid", "Greta", "Hugo", "Ines", "Jonas")
THINGS = ("a bicycle", "a telescope", "a violin", "a kettle", "a map", "a lamp", "a raincoat")
#: As long as a reply of the Manager may be, and no end of turn before: every step has all of its sequences.
LONG_LINE = Constraint("regex", r"ADD: \S[^\r\n]{400,600}")
STEPS = 16


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("model", type=Path)
    parser.add_argument("prompt", type=Path, help="packages/core/prompts/manager-compact.md")
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16"])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--calls", type=int, default=12, help="Manager calls of the prefix part")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8, 24])
    options = parser.parse_args()
    dtype = cast(Literal["float32", "bfloat16"], options.dtype)
    kept = TorchEngine(options.model, dtype=dtype, threads=options.threads)
    fresh = TorchEngine(options.model, dtype=dtype, threads=options.threads, prefix_cache_bytes=0)
    prompts = list(make_prompts(kept, options.prompt, options.calls))
    show({"torch": torch.__version__, "threads": torch.get_num_threads(), "dtype": dtype})
    show(measure_prefix(kept, fresh, prompts))
    plain = TorchEngine(options.model, dtype=dtype, threads=options.threads, draft_rows=0)
    show(measure_drafts(kept, plain, prompts))
    for size in options.batches:
        show(measure_grammar(kept, prompts[0], size))


def show(values: dict[str, object]) -> None:
    print(json.dumps(values), flush=True)


def make_prompts(engine: TorchEngine, file: Path, count: int) -> Iterator[tuple[int, ...]]:
    """Manager prompts of one growing bank: three memories and a new fact each."""
    text = re.sub(r"<!--.*?-->", "", file.read_text(encoding="utf-8"), flags=re.DOTALL)
    parts = re.split(r"^## (system|user|assistant)$", text, flags=re.MULTILINE)[1:]
    turns = [(role, said.strip()) for role, said in zip(parts[::2], parts[1::2], strict=True)]
    for call in range(count):
        facts = [
            f"{NAMES[(call + n) % len(NAMES)]} bought {THINGS[(3 * call + n) % len(THINGS)]}"
            f" on day {call + n}."
            for n in range(4)
        ]
        memories = "\n".join(f"{n + 1}. {fact}" for n, fact in enumerate(facts[:3]))
        conversation = [
            {
                "role": role,
                "content": said.replace("{{memories}}", memories).replace("{{fact}}", facts[3]),
            }
            for role, said in turns
        ]
        yield tuple(encode_chat(engine.tokenizer, conversation))


def measure_prefix(
    kept: TorchEngine, fresh: TorchEngine, prompts: list[tuple[int, ...]]
) -> dict[str, object]:
    """Seconds of each call with one token, the two engines in turns; the first call of each is the warm-up."""
    seconds: dict[str, list[float]] = {"kept": [], "fresh": []}
    before = 0
    for number, prompt in enumerate(prompts):
        job = SampleJob(prompt, 1, 1, seed=number)
        results = []
        for name, engine in (("fresh", fresh), ("kept", kept)):
            started = time.perf_counter()
            results.append(engine.sample([job]))
            if number > 0:
                seconds[name].append(time.perf_counter() - started)
        if results[0] != results[1]:
            raise AssertionError("a kept beginning changed a result")
        if number == 0:
            before = kept.count_prefix_cache()["tokens_computed"]
    computed = kept.count_prefix_cache()["tokens_computed"] - before
    return {
        "prompt_tokens": statistics.mean(len(prompt) for prompt in prompts[1:]),
        "tokens_computed": computed / (len(prompts) - 1),
        "seconds_kept": statistics.median(seconds["kept"]),
        "seconds_fresh": statistics.median(seconds["fresh"]),
    }


def measure_drafts(
    drafting: TorchEngine, plain: TorchEngine, prompts: list[tuple[int, ...]]
) -> dict[str, object]:
    """Seconds of greedy Manager calls with and without drafts, in turns; the first of each is the warm-up."""
    seconds: dict[str, list[float]] = {"drafts": [], "plain": []}
    tokens: list[int] = []
    equal = 0
    for number, prompt in enumerate(prompts):
        job = SampleJob(prompt, 1, 48, seed=number, temperature=0.0)
        replies = []
        for name, engine in (("plain", plain), ("drafts", drafting)):
            started = time.perf_counter()
            replies.append(engine.sample([job])[0].sequences[0].tokens)
            if number > 0:
                seconds[name].append(time.perf_counter() - started)
        tokens.append(len(replies[0]))
        equal += replies[0] == replies[1]
    return {
        "reply_tokens": statistics.mean(tokens[1:]),
        "equal_replies": equal / len(prompts),
        "seconds_drafts": statistics.median(seconds["drafts"]),
        "seconds_plain": statistics.median(seconds["plain"]),
    }


def measure_grammar(engine: TorchEngine, prompt: tuple[int, ...], size: int) -> dict[str, object]:
    """Median milliseconds of a decode step of `size` sequences without and under a grammar, in turns."""
    free: list[float] = []
    masked: list[float] = []
    for _ in range(2):
        for constraint, times in ((None, free), (LONG_LINE, masked)):
            run = engine.start_sampling()
            run.join(SampleJob(prompt, size, STEPS, seed=7, constraint=constraint))
            while not run.is_empty:
                started = time.perf_counter()
                run.step()
                times.append(time.perf_counter() - started)
    return {
        "sequences": size,
        "milliseconds_free": 1000 * statistics.median(free),
        "milliseconds_masked": 1000 * statistics.median(masked),
    }


if __name__ == "__main__":
    main()
