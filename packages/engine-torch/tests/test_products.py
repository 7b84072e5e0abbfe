"""Products with frozen weights against float64, whatever the kernel."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from memory_r1_engine.core import TorchEngine
from memory_r1_engine.products import multiply, pack_weight
from memory_r1_engine.types import LoraConfig, SampleJob

TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-5, torch.bfloat16: 2e-2}


def make(shape: tuple[int, ...], dtype: torch.dtype, seed: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
# One row, a few, the limits of each kernel, and a batch of rows.
@pytest.mark.parametrize("shape", [(1,), (2,), (24,), (25,), (63,), (64,), (200,), (1, 1), (2, 40)])
def test_products_are_those_of_float64(dtype: torch.dtype, shape: tuple[int, ...]) -> None:
    weight = make((72, 48), dtype, 1)
    inputs = make((*shape, 48), dtype, 2)
    packed = pack_weight(weight)
    for bias in (None, make((72,), dtype, 3)):
        expected = inputs.double() @ weight.double().t()
        if bias is not None:
            expected += bias.double()
        for stored in (weight, packed):
            if stored is None:
                continue
            with torch.no_grad():
                found = multiply(inputs, stored, bias)
            assert (found.dtype, found.shape) == (dtype, expected.shape)
            assert (found.double() - expected).abs().max() <= TOLERANCE[
                dtype
            ] * expected.abs().max()


def test_gradients_pass_through_an_unpacked_product() -> None:
    inputs = make((70, 48), torch.float32, 2).requires_grad_()
    weight = make((72, 48), torch.float32, 1)
    multiply(inputs, weight).sum().backward()
    assert inputs.grad is not None
    torch.testing.assert_close(inputs.grad, weight.sum(dim=0).expand(70, -1))


def test_float64_has_no_packed_form() -> None:
    assert pack_weight(make((72, 48), torch.float64, 1)) is None


@pytest.mark.parametrize("merge_bytes", [0, 2**30])
def test_packed_weights_are_for_sampling_only(tiny_model_directory: Path, merge_bytes: int) -> None:
    engine = TorchEngine(tiny_model_directory, threads=1, merge_bytes=merge_bytes)
    engine.create_model("model", "policy", LoraConfig(rank=4, seed=1))
    engine.sample([SampleJob((5, 6, 7), num_samples=1, max_tokens=3)])
    linears = engine._model.linears.values()
    can_pack = pack_weight(make((72, 48), torch.float32, 1)) is not None
    assert all((linear.sampled is not None) == (can_pack and merge_bytes > 0) for linear in linears)
    engine._model.activate(engine._models["model"].weights)
    assert all(linear.sampled is None for linear in linears)
