"""RMS normalisation with frozen weights: fewer passes and saved tensors than transformers' own, and true float64."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn


class FrozenRmsNorm(nn.Module):
    """weight * x / sqrt(mean(x^2) + eps). transformers' modules round to float32 even in a float64 model."""

    def __init__(self, weight: torch.Tensor, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight.detach(), requires_grad=False)
        self.eps = eps

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        if not torch.is_grad_enabled():
            return _normalise(hidden_states, self.weight, self.eps)[0]
        output: torch.Tensor = _RmsNormFunction.apply(  # type: ignore[no-untyped-call]  # untyped in torch
            hidden_states, self.weight, self.eps
        )
        return output


class _RmsNormFunction(torch.autograd.Function):
    """Keeps the input and one factor per token; statistics are in float32 at least."""

    @staticmethod
    def forward(ctx: Any, inputs: torch.Tensor, weight: torch.Tensor, eps: float) -> torch.Tensor:
        output, factor = _normalise(inputs, weight, eps)
        ctx.save_for_backward(inputs, weight, factor)
        return output

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> Any:
        inputs, weight, factor = ctx.saved_tensors
        wide = _widen(inputs)
        scaled = _widen(gradients[0]) * weight
        # d/dx of x * f(x) with f = (mean(x^2) + eps)^(-1/2): f * (g - x * f^2 * mean(g * x))
        projection = torch.linalg.vecdot(scaled, wide).unsqueeze(-1)
        projection = projection.mul_(factor).mul_(factor).div_(inputs.shape[-1])
        gradient = scaled.addcmul_(wide, projection, value=-1).mul_(factor)
        return gradient.to(inputs.dtype), None, None


def _normalise(
    inputs: torch.Tensor, weight: torch.Tensor, eps: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """The output, and the factor of each token."""
    wide = _widen(inputs)
    factor = torch.linalg.vecdot(wide, wide).div_(inputs.shape[-1]).add_(eps).rsqrt_()
    factor = factor.unsqueeze(-1)
    return (wide * factor).to(inputs.dtype).mul_(weight), factor


def _widen(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.float() if tensor.dtype in (torch.bfloat16, torch.float16) else tensor


def replace_rms_norms(model: nn.Module) -> int:
    """Swap in FrozenRmsNorm where a module proves to compute just that; returns how many were replaced.

    The name alone does not tell (Gemma scales by 1 + weight), so every kind is tried on random input first.
    """
    replaced = 0
    verdicts: dict[type[nn.Module], bool] = {}
    for name, module in list(model.named_modules()):
        weight = getattr(module, "weight", None)
        eps = getattr(module, "variance_epsilon", None)
        if not type(module).__name__.endswith("RMSNorm") or weight is None or eps is None:
            continue
        norm = FrozenRmsNorm(weight, float(eps))
        if type(module) not in verdicts:
            verdicts[type(module)] = _agree(module, norm)
        if verdicts[type(module)]:
            parent_name, _, attribute = name.rpartition(".")
            setattr(model.get_submodule(parent_name), attribute, norm)
            replaced += 1
    return replaced


def _agree(module: nn.Module, norm: FrozenRmsNorm) -> bool:
    generator = torch.Generator().manual_seed(0)
    size = norm.weight.shape[-1]
    values = torch.randn(4, size, generator=generator).to(norm.weight)
    # Weights far from 0 and 1, so that "1 + weight" cannot pass for "weight".
    probe = torch.linspace(0.5, 3.0, size).to(norm.weight)
    kept = norm.weight.detach().clone()
    with torch.no_grad():
        norm.weight.copy_(probe)
        expected = module(values)
        found = norm(values)
        norm.weight.copy_(kept)
    tolerance = 0.02 if values.dtype == torch.bfloat16 else 1e-5
    return bool((expected - found).abs().max() <= tolerance * expected.abs().max())
