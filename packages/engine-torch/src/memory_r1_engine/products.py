"""Products with the frozen weights, nearly all of the engine's work, by the fastest kernel that PyTorch has for them.

On a CPU that is oneDNN's (docs/log.md of 2026-11-26): MKL, which PyTorch asks otherwise, reads the weights at a third
of the memory's speed where a few rows are multiplied, as in a decode step, and is slower for many rows too.
"""

from __future__ import annotations

from functools import cache

import torch
from torch import nn

_FEW_ROWS = 24
"""Up to so many rows are multiplied the other way round by weights in their own layout."""


def pack_weight(weight: torch.Tensor) -> torch.Tensor | None:
    """A copy of `weight` (out x in) in the layout of oneDNN's kernels, for `multiply` alone; None where it has none."""
    if not has_kernels(weight.device.type, weight.dtype):
        return None
    packed: torch.Tensor = torch.ops.mkldnn._reorder_linear_weight(weight.detach(), None)
    return packed


def multiply(
    inputs: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None
) -> torch.Tensor:
    """inputs @ weight.T + bias, over the last dimension of `inputs`; `weight` may be packed. Without gradients."""
    if weight.is_mkldnn:
        return _run_kernel(inputs, weight, bias)
    size = inputs.shape[-1]
    count = inputs.numel() // size
    if not 1 < count <= _FEW_ROWS or inputs.device.type != "cpu":
        return nn.functional.linear(inputs, weight, bias)
    # MKL's kernel for few rows times a transposed matrix is the slower one (docs/log.md of 2026-11-25).
    product = torch.mm(weight, inputs.reshape(count, size).t()).t().contiguous()
    if bias is not None:
        product += bias
    # Not a view where it can be avoided: a result of a Function is then modified in place.
    return product if inputs.dim() == 2 else product.view(*inputs.shape[:-1], weight.shape[0])


def _run_kernel(
    inputs: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None
) -> torch.Tensor:
    product: torch.Tensor = torch.ops.mkldnn._linear_pointwise(inputs, weight, bias, "none", [], "")
    return product


@cache
def has_kernels(device_type: str, dtype: torch.dtype) -> bool:
    """Whether oneDNN multiplies this format here, and right. These operators are PyTorch's own compiler's, not a public
    interface: so they are tried before they are used."""
    if device_type != "cpu" or not torch.backends.mkldnn.is_available():
        return False
    if dtype == torch.bfloat16:
        if not torch.ops.mkldnn._is_mkldnn_bf16_supported():
            return False
    elif dtype != torch.float32:
        return False
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(48, 80, generator=generator).to(dtype)
    inputs = torch.randn(2, 40, 80, generator=generator).to(dtype)
    expected = inputs.double() @ weight.double().t()
    try:
        packed = torch.ops.mkldnn._reorder_linear_weight(weight, None)
        product = _run_kernel(inputs, packed, None)
    except (AttributeError, RuntimeError, NotImplementedError):
        return False
    tolerance = 1e-2 if dtype == torch.bfloat16 else 1e-5
    return bool((product.double() - expected).abs().max() <= tolerance * expected.abs().max())
