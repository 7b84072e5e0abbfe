"""Products with frozen weights against float64, whatever the kernel."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from memory_r1_engine.adapters import LoraLinear, LoraPair
from memory_r1_engine.core import TorchEngine
from memory_r1_engine.products import has_kernels, multiply, pack_weight

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


def test_float64_has_no_packed_form() -> None:
    assert pack_weight(make((72, 48), torch.float64, 1)) is None


@pytest.mark.parametrize("has_adapter", [True, False])
@pytest.mark.parametrize("packs", [True, False])
def test_a_layer_computes_the_same_packed_and_not(packs: bool, has_adapter: bool) -> None:
    base = torch.nn.Linear(48, 72).requires_grad_(False)
    layer = LoraLinear(base)
    layer.packs = layer.packs_transposed = packs
    down, up = make((4, 48), torch.float32, 4), make((72, 4), torch.float32, 5)
    weight = base.weight.double()
    if has_adapter:
        layer.active = LoraPair(down, up, 0.5)
        weight = weight + 0.5 * up.double() @ down.double()
    inputs = make((3, 30, 48), torch.float32, 2).requires_grad_()
    expected = inputs.double() @ weight.t() + base.bias.double()
    with torch.no_grad():
        torch.testing.assert_close(layer(inputs), expected.float(), rtol=1e-5, atol=1e-5)
    output = layer(inputs)
    torch.testing.assert_close(output, expected.float(), rtol=1e-5, atol=1e-5)
    gradient = make((3, 30, 72), torch.float32, 6)
    output.backward(gradient)
    assert inputs.grad is not None
    torch.testing.assert_close(
        inputs.grad, (gradient.double() @ weight).float(), rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize(("pack_bytes", "packs"), [(0, False), (2**30, True)])
def test_only_a_base_within_the_budget_is_packed(
    tiny_model_directory: Path, pack_bytes: int, packs: bool
) -> None:
    engine = TorchEngine(tiny_model_directory, threads=1, pack_bytes=pack_bytes)
    packs = packs and has_kernels("cpu", torch.float32)
    assert {linear.packs for linear in engine._model.linears.values()} == {packs}
    transposed = [linear for linear in engine._model.linears.values() if linear.packs_transposed]
    assert engine._model.head not in transposed
    assert len(transposed) == (len(engine._model.linears) - 1 if packs else 0)
