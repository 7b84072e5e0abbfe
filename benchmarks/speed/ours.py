"""One GRPO step at a time in packages/engine-torch, driven as its server drives it but without HTTP."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import safetensors.torch
import torch
from memory_r1_engine.core import TorchEngine
from memory_r1_engine.types import (
    AdamParams,
    Constraint,
    Datum,
    LoraConfig,
    SampledSequence,
    SampleJob,
)
from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop_count, sdpa_flop_count

from measuring import (
    ADVANTAGE_EPSILON,
    GRADIENT_CLIP_NORM,
    LEARNING_RATE,
    LORA_ALPHA,
    LORA_RANK,
    Conversation,
    Measurement,
    Settings,
    Step,
    make_completions,
    make_prompts,
    make_rewards,
    parse_settings,
    read_clocks,
    read_peak_memory_mib,
)

MODEL_ID = "policy"
CHARACTERS_PER_TOKEN = 50


def main() -> None:
    conversation = Conversation()
    settings = parse_settings()
    engine = TorchEngine(
        settings.model,
        dtype=settings.dtype,
        device=settings.device,
        threads=settings.threads,
        row_token_budget=max(2048, *(count_row_tokens(settings, step) for step in settings.steps)),
    )
    engine.create_model(MODEL_ID, "policy", LoraConfig(LORA_RANK, settings.seed, LORA_ALPHA))
    engine.save_snapshot(MODEL_ID, settings.adapter)
    prompts = [
        tuple(engine.tokenizer(text)["input_ids"])
        for text in make_prompts(engine.tokenizer, settings)
    ]
    steps = list(zip(settings.steps, prompts, strict=True))
    run_step(engine, settings, *steps[0])
    conversation.send_ready(
        prompts=prompts,
        threads=torch.get_num_threads(),
        trainable_parameters=count_parameters(settings.adapter),
        libraries=("torch", "transformers"),
    )
    for step, prompt in steps[1:]:
        while conversation.wait_for_turn() == "flops":
            conversation.send_flops(count_flops(engine, settings, step, prompt))
        conversation.send_measurement(run_step(engine, settings, step, prompt))
    while conversation.wait_for_turn() == "flops":
        conversation.send_flops(count_flops(engine, settings, *steps[-1]))


def count_row_tokens(settings: Settings, step: Step) -> int:
    """Enough for a group in one row: with less a long prompt is computed for each completion."""
    return step.shape.prompt_tokens + settings.group_size * step.shape.completion_tokens


def run_step(
    engine: TorchEngine, settings: Settings, step: Step, prompt: tuple[int, ...]
) -> Measurement:
    """In the mode `step` sample a group with the current weights; update on it, or on the given completions."""
    if settings.mode == "update":
        sequences = read_sequences(engine, settings, step, prompt)
        started = None
    else:
        started = read_clocks(settings.device)
        sequences = sample(engine, settings, step, prompt)
    data = make_data(prompt, sequences, make_rewards(settings, step))

    sampled = read_clocks(settings.device)
    output = engine.forward_backward(MODEL_ID, data, "ppo")
    report = engine.optim_step(
        MODEL_ID,
        AdamParams(LEARNING_RATE, beta2=0.999, eps=1e-8, grad_clip_norm=GRADIENT_CLIP_NORM),
    )
    ended = read_clocks(settings.device)
    return Measurement(
        update_seconds=ended.wall - sampled.wall,
        step_seconds=None if started is None else ended.wall - started.wall,
        update_processor_seconds=ended.processor - sampled.processor,
        step_processor_seconds=None if started is None else ended.processor - started.processor,
        tokens_computed=int(output.metrics["tokens_computed:sum"]),
        prompt_tokens=len(prompt),
        completion_tokens=sum(len(sequence.tokens) for sequence in sequences),
        gradient_norm=report["grad_norm:last"],
        peak_memory_mib=read_peak_memory_mib(settings.device),
    )


def sample(
    engine: TorchEngine, settings: Settings, step: Step, prompt: tuple[int, ...]
) -> list[SampledSequence]:
    length = step.shape.completion_tokens
    snapshot = engine.create_snapshot(MODEL_ID)
    # Text so long that the end of the turn is not allowed before max_tokens are sampled.
    constraint = Constraint("regex", f"(?s:.{{{CHARACTERS_PER_TOKEN * length},}})")
    job = SampleJob(
        prompt,
        settings.group_size,
        length,
        seed=settings.seed + step.number,
        constraint=None if settings.random_weights else constraint,
        snapshot=snapshot,
    )
    sequences = engine.sample([job])[0].sequences
    engine.drop_snapshot(snapshot)
    return sequences


def read_sequences(
    engine: TorchEngine, settings: Settings, step: Step, prompt: tuple[int, ...]
) -> list[SampledSequence]:
    """The given completions with the log-probabilities of the current weights, as if they had just been sampled."""
    completions = make_completions(engine.tokenizer, settings, step)
    blank = [
        SampledSequence(completion, [0.0] * len(completion), "length") for completion in completions
    ]
    data = make_data(prompt, blank, make_rewards(settings, step))
    outputs = engine.forward(MODEL_ID, data, "ppo").outputs
    return [
        SampledSequence(completion, output.logprobs or [], "length")
        for completion, output in zip(completions, outputs, strict=True)
    ]


def count_flops(
    engine: TorchEngine, settings: Settings, step: Step, prompt: tuple[int, ...]
) -> int:
    """Operations in the matrix products of one update, those that it computes a second time included.

    The gradient is dropped afterwards by a step of learning rate 0.
    """
    sequences = read_sequences(engine, settings, step, prompt)
    data = make_data(prompt, sequences, make_rewards(settings, step))
    # What torch's counter does not know.
    counters: dict[object, Callable[..., int]] = {
        torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: count_attention,
        torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: count_attention_gradients,
    }
    if torch.backends.mkldnn.is_available():
        counters[torch.ops.mkldnn._linear_pointwise] = count_packed_product
    with FlopCounterMode(display=False, custom_mapping=counters) as counter:
        engine.forward_backward(MODEL_ID, data, "ppo")
    engine.optim_step(MODEL_ID, AdamParams(0.0))
    return int(counter.get_total_flops())


def count_packed_product(
    inputs: torch.Size, weight: torch.Size, *_: object, out_shape: object = None
) -> int:
    """Operations of inputs @ weight.T."""
    del out_shape
    return 2 * math.prod(inputs) * weight[0]


def count_attention(
    query: torch.Size, key: torch.Size, value: torch.Size, *_: object, **__: object
) -> int:
    """Two products for each pair of query and key that the kernel is given, masked or not."""
    return int(sdpa_flop_count(query, key, value))


def count_attention_gradients(
    gradient: torch.Size,
    query: torch.Size,
    key: torch.Size,
    value: torch.Size,
    *_: object,
    **__: object,
) -> int:
    """Five products, that of the scores once more among them."""
    return int(sdpa_backward_flop_count(gradient, query, key, value))


def make_data(
    prompt: tuple[int, ...], sequences: list[SampledSequence], rewards: list[float]
) -> list[Datum]:
    """Group-relative advantages and a mean over the group's tokens: TRL's defaults (`scale_rewards`, `loss_type`)."""
    mean = statistics.fmean(rewards)
    deviation = statistics.stdev(rewards)
    token_count = sum(len(sequence.tokens) for sequence in sequences)
    data = []
    for sequence, reward in zip(sequences, rewards, strict=True):
        length = len(sequence.tokens)
        advantage = (reward - mean) / (deviation + ADVANTAGE_EPSILON)
        data.append(
            Datum(
                chunks=(prompt, tuple(sequence.tokens[:-1])),
                target_tokens=tuple(sequence.tokens),
                weights=(1 / token_count,) * length,
                logprobs=tuple(sequence.logprobs),
                advantages=(advantage,) * length,
            )
        )
    return data


def count_parameters(adapter: Path) -> int:
    """The adapter's parameters, counted in the file that the engine writes of them."""
    tensors = safetensors.torch.load_file(adapter / "adapter_model.safetensors")
    return sum(tensor.numel() for tensor in tensors.values())


if __name__ == "__main__":
    # On a thread of its own, as in the server: the allocator gives what the main thread frees back to the system, and
    # every third update or so then spends a second on getting it again.
    with ThreadPoolExecutor(1) as executor:
        executor.submit(main).result()
