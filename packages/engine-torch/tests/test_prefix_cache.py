"""What is kept of prompts changes the work and nothing else: equal bits, bounded memory, one set of weights."""

from __future__ import annotations

import dataclasses
import random
from pathlib import Path

import pytest
import torch

from helpers import build_tokens, create_random_model, get_flat
from memory_r1_engine.core import TorchEngine
from memory_r1_engine.prefix_cache import PrefixBlock, PrefixCache, PromptReader
from memory_r1_engine.types import SampleJob

BLOCK = 16


def build_chat(turns: int) -> list[tuple[int, ...]]:
    """Prompts of which each begins with the one before."""
    generator = random.Random(5)
    prompts = [build_tokens(generator, 37)]
    for _ in range(turns - 1):
        prompts.append(prompts[-1] + build_tokens(generator, 21))
    return prompts


def start(directory: Path, cache_bytes: int = 1 << 24) -> TorchEngine:
    return TorchEngine(
        directory, threads=1, prefix_block_tokens=BLOCK, prefix_cache_bytes=cache_bytes
    )


@pytest.fixture(scope="module")
def without(tiny_model_directory: Path) -> TorchEngine:
    """Keeps nothing."""
    return start(tiny_model_directory, 0)


def test_kept_blocks_give_the_same_bits(tiny_model_directory: Path, without: TorchEngine) -> None:
    engine = start(tiny_model_directory)
    jobs = [SampleJob(prompt, 2, 6, seed=index) for index, prompt in enumerate(build_chat(4))]
    for job in [*jobs, *jobs[::-1]]:
        assert engine.sample([job]) == without.sample([job])
    assert engine.count_prefix_cache()["tokens_found"] > 0
    # A batch whose prompts are kept in part is the batch of none.
    cold = start(tiny_model_directory)
    cold.sample([jobs[1]])
    assert cold.sample(jobs) == engine.sample(jobs) == without.sample(jobs)
    # Nor do log-probabilities of the prompt, which are always computed.
    scored = [dataclasses.replace(job, prompt_logprobs=True) for job in jobs]
    assert engine.sample(scored) == without.sample(scored)


def test_keys_and_values_are_equal_bit_for_bit(
    tiny_model_directory: Path, without: TorchEngine
) -> None:
    model = without._model
    model.activate(None)
    cache = PrefixCache(1 << 24)
    prompts = build_chat(3)
    with torch.no_grad():
        fresh = PromptReader(model, BLOCK, None, None).read(prompts[-1])
        for prompt in prompts:
            kept = PromptReader(model, BLOCK, cache, None).read(prompt)
    assert cache.counts.tokens_found == 32 + 48
    for one, other in zip(fresh, kept, strict=True):
        assert torch.equal(one.last_hidden, other.last_hidden)
        for layer, pair in one.layers.items():
            for mine, theirs in zip(pair, other.layers[layer], strict=True):
                assert torch.equal(mine, theirs)


def test_a_growing_chat_computes_its_new_blocks_only(tiny_model_directory: Path) -> None:
    engine = start(tiny_model_directory)
    computed = []
    for prompt in build_chat(4):
        before = engine.count_prefix_cache()["tokens_computed"]
        engine.sample([SampleJob(prompt, 1, 1)])
        computed.append(engine.count_prefix_cache()["tokens_computed"] - before)
    # Lengths 37, 58, 79, 100; whole blocks of the turn before: 32, 48, 64.
    assert computed == [37, 58 - 32, 79 - 48, 100 - 64]


def test_prompts_of_one_batch_share_their_beginning(tiny_model_directory: Path) -> None:
    engine = start(tiny_model_directory)
    engine.sample([SampleJob(prompt, 1, 1) for prompt in build_chat(4)])
    assert engine.count_prefix_cache()["tokens_computed"] == 37 + 26 + 31 + 36


def test_weights_do_not_share_blocks(tiny_model_directory: Path) -> None:
    engine, beside = start(tiny_model_directory), start(tiny_model_directory, 0)
    jobs = [SampleJob(prompt, 2, 8) for prompt in build_chat(2)]
    found = []
    for one in (engine, beside):
        create_random_model(one, "model")
        results = [one.sample(jobs)]
        for _ in range(2):
            snapshot = one.create_snapshot("model")
            results.append(
                one.sample([dataclasses.replace(job, snapshot=snapshot) for job in jobs])
            )
            with torch.no_grad():
                get_flat(one, "model").mul_(2)
        found.append((snapshot, results))
    (snapshot, results), (_, expected) = found
    assert results == expected
    assert results[0] != results[1] != results[2]
    blocks = engine.count_prefix_cache()["blocks"]
    engine.drop_snapshot(snapshot)
    assert engine.count_prefix_cache()["blocks"] == blocks - 3


def build_block() -> PrefixBlock:
    """96 bytes."""
    return PrefixBlock({0: (torch.zeros(1, 2, 4), torch.zeros(1, 2, 4))}, torch.zeros(8))


def test_memory_is_bounded_and_beginnings_stay_longest() -> None:
    cache = PrefixCache(max_bytes=4 * 96)
    first = [(name, build_block()) for name in (b"a", b"ab", b"abc")]
    cache.keep(None, first)
    cache.keep(None, [first[0], (b"ad", build_block())])
    assert (cache.counts.blocks, cache.counts.bytes) == (4, 4 * 96)
    # Too much: the end of the oldest prompt goes first.
    cache.keep("adapter", [(b"a", build_block())])
    assert cache.find(None, b"abc") is None
    assert cache.find(None, b"ab") is first[1][1]
    assert cache.find("adapter", b"a") is not first[0][1]
    assert cache.find("adapter", b"ab") is None
    cache.drop(None)
    assert (cache.counts.blocks, cache.counts.bytes, cache.counts.blocks_dropped) == (1, 96, 4)
    # What is larger than all of the cache is not kept.
    cache.keep(None, [(bytes([index]), build_block()) for index in range(9)])
    assert cache.counts.bytes == 4 * 96
    assert cache.find(None, bytes([0])) is not None


def test_a_small_cache_changes_nothing_but_work(
    tiny_model_directory: Path, without: TorchEngine
) -> None:
    # 3 layers * 2 * 2 heads * 16 * 4 bytes = 768 bytes a token: room for three blocks.
    engine = start(tiny_model_directory, 3 * BLOCK * 768 + 1000)
    jobs = [SampleJob(prompt, 1, 4, seed=3) for prompt in build_chat(4)]
    assert engine.sample(jobs) == without.sample(jobs)
    counts = engine.count_prefix_cache()
    assert counts["blocks"] == 3
    assert 0 < counts["bytes"] <= engine.prefix_cache_bytes


def test_models_without_packing_keep_nothing(other_model_directories: dict[str, Path]) -> None:
    engine = start(other_model_directories["windowed"])
    engine.sample([SampleJob(build_chat(1)[0], 1, 1)])
    assert engine.prefix_cache_bytes == 0
    assert engine.count_prefix_cache()["tokens_computed"] == 0
