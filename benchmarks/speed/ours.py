"""One GRPO step at a time in packages/engine-torch, driven as its server drives it but without HTTP."""

from __future__ import annotations

import statistics
import tempfile
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

from measuring import (
    ADVANTAGE_EPSILON,
    GRADIENT_CLIP_NORM,
    GROUP_SIZE,
    LEARNING_RATE,
    LORA_ALPHA,
    LORA_RANK,
    Conversation,
    Measurement,
    Settings,
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
        dtype="bfloat16" if settings.dtype == "bfloat16" else "float32",
        threads=settings.threads,
    )
    engine.create_model(MODEL_ID, "policy", LoraConfig(LORA_RANK, settings.seed, LORA_ALPHA))
    prompts = [
        tuple(engine.tokenizer(text)["input_ids"])
        for text in make_prompts(engine.tokenizer, settings)
    ]
    run_step(engine, settings, 0, prompts[0])
    conversation.send_ready(
        prompts=prompts,
        threads=torch.get_num_threads(),
        trainable_parameters=count_parameters(engine),
        libraries=("torch", "transformers"),
    )
    for step in range(1, len(prompts)):
        conversation.wait_for_turn()
        conversation.send_measurement(run_step(engine, settings, step, prompts[step]))


def run_step(
    engine: TorchEngine, settings: Settings, step: int, prompt: tuple[int, ...]
) -> Measurement:
    """Sample a group with the current weights, and update on exactly what was sampled."""
    started = read_clocks()
    length = settings.shapes[step].completion_tokens
    snapshot = engine.create_snapshot(MODEL_ID)
    job = SampleJob(
        prompt,
        GROUP_SIZE,
        length,
        seed=settings.seed + step,
        # Text so long that the end of the turn is not allowed before max_tokens are sampled.
        constraint=Constraint("regex", f"(?s:.{{{CHARACTERS_PER_TOKEN * length},}})"),
        snapshot=snapshot,
    )
    sequences = engine.sample([job])[0].sequences
    engine.drop_snapshot(snapshot)
    data = make_data(prompt, sequences, make_rewards(settings, step))

    sampled = read_clocks()
    output = engine.forward_backward(MODEL_ID, data, "ppo")
    report = engine.optim_step(
        MODEL_ID,
        AdamParams(LEARNING_RATE, beta2=0.999, eps=1e-8, grad_clip_norm=GRADIENT_CLIP_NORM),
    )
    ended = read_clocks()
    return Measurement(
        update_seconds=ended.wall - sampled.wall,
        step_seconds=ended.wall - started.wall,
        update_processor_seconds=ended.processor - sampled.processor,
        step_processor_seconds=ended.processor - started.processor,
        tokens_computed=int(output.metrics["tokens_computed:sum"]),
        prompt_tokens=len(prompt),
        completion_tokens=sum(len(sequence.tokens) for sequence in sequences),
        gradient_norm=report["grad_norm:last"],
        peak_memory_mib=read_peak_memory_mib(),
    )


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


def count_parameters(engine: TorchEngine) -> int:
    """The adapter's parameters, counted in the file that the engine writes of them."""
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder) / "adapter"
        engine.save_snapshot(MODEL_ID, directory)
        tensors = safetensors.torch.load_file(directory / "adapter_model.safetensors")
    return sum(tensor.numel() for tensor in tensors.values())


if __name__ == "__main__":
    main()
