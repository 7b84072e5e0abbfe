"""Every way of computing tree attention against a dense mask, and whole models under each of them."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch

from helpers import build_groups, create_random_model, get_gradient
from memory_r1_engine.attention import count_parts
from memory_r1_engine.core import TorchEngine
from memory_r1_engine.packing import PackedRow, pack_sequences, plan_attention
from memory_r1_engine.tree_attention import (
    AttentionKind,
    build_block_mask,
    build_dense_mask,
    choose_attention,
    create_tree_attention,
    measure_disagreement,
    pad_to_tiles,
)
from memory_r1_engine.types import EngineError

CPU = torch.device("cpu")


def build_row(seed: int, count: int, length: int) -> PackedRow:
    """A forest of random sequences over few tokens, so that they share starts of every length."""
    generator = random.Random(seed)
    sequences = [
        [generator.randrange(2) for _ in range(generator.randrange(1, length))]
        for _ in range(count)
    ]
    (row,) = pack_sequences(sequences, 100_000)
    return row


def list_ancestors(row: PackedRow) -> torch.Tensor:
    """nodes x nodes, from the members' own lists of nodes: each sees the nodes before it in its sequence."""
    visible = torch.zeros(len(row.tokens), len(row.tokens), dtype=torch.bool)
    for member in row.members:
        for depth, node in enumerate(member.nodes):
            visible[node, member.nodes[: depth + 1]] = True
    return visible


def test_masks_show_the_ancestors_and_nothing_else() -> None:
    for seed in range(4):
        row = build_row(seed, 60, 14)
        expected = list_ancestors(row)
        assert torch.equal(build_dense_mask(row.subtree_ends), expected)
        # The mask that a CUDA kernel gets, asked pair by pair.
        mask = build_block_mask(row.subtree_ends, CPU)
        length, padded = len(row.tokens), pad_to_tiles(len(row.tokens))
        nodes = torch.arange(padded)
        none = torch.tensor(0)
        shown = mask.mask_mod(none, none, nodes[:, None], nodes[None, :])
        assert torch.equal(shown[:length, :length], expected)
        # Padding sees itself alone: no row of scores is empty, and nothing sees padding.
        assert torch.equal(shown[length:], torch.eye(padded, dtype=torch.bool)[length:])
        assert not shown[:length, length:].any()


def test_the_block_mask_skips_what_no_query_sees() -> None:
    # A trunk of one tile and three branches of one tile each: 1 + 3 * 2 tiles of the 16 hold something.
    trunk = list(range(128))
    branches = [[*trunk, 1000 + branch, *range(127)] for branch in range(3)]
    (row,) = pack_sequences(branches, 10_000)
    assert len(row.tokens) == 512
    mask = build_block_mask(row.subtree_ends, CPU)
    tiles = mask.to_dense()[0, 0]
    assert tiles.tolist() == [[1, 0, 0, 0], [1, 1, 0, 0], [1, 0, 1, 0], [1, 0, 0, 1]]


@pytest.mark.parametrize(
    ("length", "padded"),
    [(1, 128), (128, 128), (129, 256), (1500, 2048), (4096, 4096), (4097, 8192), (9000, 12288)],
)
def test_few_padded_lengths(length: int, padded: int) -> None:
    assert pad_to_tiles(length) == padded


@pytest.fixture
def flex_backward(monkeypatch: pytest.MonkeyPatch) -> None:
    """PyTorch refuses flex attention's backward pass on a CPU at the door; behind it, it computes it."""
    monkeypatch.setattr("torch.nn.attention.flex_attention._validate_device", lambda *_: None)


@pytest.mark.usefixtures("flex_backward")
@pytest.mark.parametrize(
    ("kind", "threads"), [("blocks", 1), ("blocks", 2), ("blocks", 3), ("sdpa", 1), ("flex", 1)]
)
def test_outputs_and_gradients_equal_the_dense_softmax(
    monkeypatch: pytest.MonkeyPatch, kind: AttentionKind, threads: int
) -> None:
    """Against softmax(q k^T * scale + mask) v written out, in float64, with grouped key heads."""
    # Blocks small enough that most have ancestors, some of them in several spans.
    monkeypatch.setattr("memory_r1_engine.attention.QUERY_LIMIT", 16)
    monkeypatch.setattr("torch.get_num_threads", lambda: threads)
    row = build_row(7, 50, 12)
    count = len(row.tokens)
    plans = plan_attention(row.subtree_ends, 16)
    assert len(plans) > 4
    assert {len(plan.ancestors) for plan in plans} >= {0, 1, 2}
    generator = torch.Generator().manual_seed(1)
    shapes = [(4, count, 8), (2, count, 8), (2, count, 8)]
    values = [torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes]
    weights = torch.randn(count, 4, 8, generator=generator, dtype=torch.float64)
    hidden = list_ancestors(row).logical_not()

    def attend_densely(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        key, value = key.repeat_interleave(2, dim=0), value.repeat_interleave(2, dim=0)
        scores = (query @ key.transpose(1, 2) * 0.3).masked_fill(hidden, float("-inf"))
        return (scores.softmax(-1) @ value).transpose(0, 1)

    found = []
    for way in ("dense", kind):
        leaves = [value.clone().requires_grad_() for value in values]
        if way == "dense":
            output = attend_densely(*leaves)
        else:
            attention = create_tree_attention(kind, row, CPU)
            output = attention.attend(0, leaves[0], leaves[1], leaves[2], 0.3)
        (output * weights).sum().backward()
        found.append([output, *(leaf.grad for leaf in leaves)])
    for one, other in zip(*found, strict=True):
        assert one is not None
        assert other is not None
        assert one.shape == other.shape
        assert float((one - other).detach().abs().max()) < 1e-12


@pytest.mark.usefixtures("flex_backward")
@pytest.mark.parametrize("kind", ["sdpa", "flex"])
def test_a_model_trains_and_samples_alike(tiny_model_directory: Path, kind: AttentionKind) -> None:
    results = []
    for attention in ("blocks", kind):
        engine = TorchEngine(
            tiny_model_directory,
            dtype="float64",
            threads=1,
            attention=attention,
        )
        assert engine.training_settings["attention"] == attention
        create_random_model(engine, "m")
        output = engine.forward_backward("m", build_groups(), "ppo")
        results.append((output.outputs, get_gradient(engine, "m").clone()))
    (one, gradient), (other, other_gradient) = results
    assert float((gradient - other_gradient).abs().max()) < 1e-9 * float(gradient.abs().max())
    for left, right in zip(one, other, strict=True):
        assert left.logprobs == pytest.approx(right.logprobs, abs=1e-9)


@pytest.mark.parametrize(
    ("groups", "queries", "threads", "parts"),
    [
        (3, 768, 1, 1),
        (3, 768, 2, 2),
        # No even count of parts: five to four is better than two to one.
        (3, 279, 2, 3),
        (8, 256, 4, 1),
        (1, 7, 4, 7),
        (1, 11, 4, 1),
    ],
)
def test_a_key_heads_queries_are_cut_for_the_threads(
    groups: int, queries: int, threads: int, parts: int
) -> None:
    assert count_parts(groups, queries, threads) == parts


def test_the_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda = torch.device("cuda")
    assert choose_attention("auto", CPU, torch.float32) == ("blocks", None)
    assert choose_attention("auto", CPU, torch.bfloat16) == ("blocks", None)
    assert choose_attention("auto", cuda, torch.float64) == ("sdpa", None)
    assert choose_attention("auto", torch.device("mps"), torch.float32) == ("sdpa", None)
    assert choose_attention("sdpa", cuda, torch.float32) == ("sdpa", None)
    assert choose_attention("flex", CPU, torch.float32) == ("flex", None)
    with pytest.raises(EngineError, match="attention blocks runs on a CPU, not on cuda"):
        choose_attention("blocks", cuda, torch.float32)
    for device, first in ((CPU, "blocks"), (cuda, "flex")):
        for error, note in (
            (1e-4, None),
            (0.01, f"{first} attention differs from plain attention here (by 0.01)"),
            (float("nan"), f"{first} attention differs from plain attention here (by nan)"),
        ):
            monkeypatch.setattr(
                "memory_r1_engine.tree_attention.measure_disagreement", lambda *_, e=error: e
            )
            expected = (first if note is None else "sdpa", note)
            assert choose_attention("auto", device, torch.float32) == expected

        def fail(*_: object) -> float:
            raise RuntimeError("no kernel")

        monkeypatch.setattr("memory_r1_engine.tree_attention.measure_disagreement", fail)
        assert choose_attention("auto", device, torch.bfloat16) == (
            "sdpa",
            f"{first} attention does not run here (RuntimeError: no kernel)",
        )


@pytest.mark.usefixtures("flex_backward")
def test_what_the_choice_measures() -> None:
    for kind in ("flex", "blocks"):
        assert measure_disagreement(kind, CPU, torch.float32) < 1e-5
    assert measure_disagreement("blocks", CPU, torch.float64) < 1e-12
    assert measure_disagreement("blocks", CPU, torch.bfloat16) < 0.02
