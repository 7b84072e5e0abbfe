"""One GRPO step at a time in TRL's GRPOTrainer, with clocks around its own steps."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from datasets import Dataset
from peft import LoraConfig, set_peft_model_state_dict
from transformers import AutoTokenizer, TrainerCallback
from trl import GRPOConfig, GRPOTrainer

from measuring import (
    GRADIENT_CLIP_NORM,
    LEARNING_RATE,
    LORA_ALPHA,
    LORA_RANK,
    Conversation,
    Instant,
    Measurement,
    Settings,
    make_completions,
    make_prompts,
    make_rewards,
    parse_settings,
    read_clocks,
    read_peak_memory_mib,
)


class TimedTrainer(GRPOTrainer):  # type: ignore[misc]  # untyped library
    """Notes when sampling ends and what the update is given; the computation is TRL's."""

    settings: Settings
    sampled: Instant
    tokens_computed: int
    prompt_tokens: int
    completion_tokens: int
    gradient_norm: float
    passes: int

    def start_step(self) -> None:
        self.tokens_computed = self.prompt_tokens = self.completion_tokens = self.passes = 0

    def _generate_single_turn(self, *given: Any, **named: Any) -> Any:
        if self.settings.mode == "step":
            return super()._generate_single_turn(*given, **named)
        step = self.settings.steps[int(self.state.global_step)]
        # No log-probabilities, as of its own sampling: the update takes those of the current weights.
        return make_completions(self.processing_class, self.settings, step), None

    def _prepare_inputs(self, generation_batch: Any) -> Any:
        # Generation, rewards and advantages happen in here, for all passes of a step before the first.
        inputs = super()._prepare_inputs(generation_batch)
        self.tokens_computed += inputs["prompt_ids"].numel() + inputs["completion_ids"].numel()
        self.prompt_tokens += int(inputs["prompt_mask"].sum())
        self.completion_tokens += int(inputs["completion_mask"].sum())
        if self.passes == 0:
            self.sampled = read_clocks(self.settings.device)
        self.passes += 1
        return inputs

    def _get_grad_norm(self, *given: Any, **named: Any) -> float:
        self.gradient_norm = float(super()._get_grad_norm(*given, **named))
        return self.gradient_norm


class Stopwatch(TrainerCallback):  # type: ignore[misc]  # untyped library
    """Waits before each step for its turn and reports after it. The first step is the warm-up."""

    def __init__(self, conversation: Conversation, settings: Settings) -> None:
        self._conversation = conversation
        self._settings = settings
        self._started = read_clocks(settings.device)
        self._updated = self._started
        # The trainer holds its callbacks: it is set after its creation.
        self.trainer: TimedTrainer
        self.prompt_ids: list[list[int]] = []

    def on_step_begin(self, _arguments: Any, state: Any, _control: Any, **_others: Any) -> None:
        step = int(state.global_step)
        if step == 1:
            parameters = [
                tensor for tensor in self.trainer.model.parameters() if tensor.requires_grad
            ]
            self._conversation.send_ready(
                prompts=self.prompt_ids,
                threads=torch.get_num_threads(),
                trainable_parameters=sum(tensor.numel() for tensor in parameters),
                libraries=("torch", "transformers", "trl", "peft", "accelerate"),
            )
        if step > 0:
            self._conversation.wait_for_turn()
        length = self._settings.steps[step].shape.completion_tokens
        self.trainer.generation_config.min_new_tokens = length
        self.trainer.generation_config.max_new_tokens = length
        self.trainer.start_step()
        self._started = read_clocks(self._settings.device)

    def on_optimizer_step(
        self, _arguments: Any, _state: Any, _control: Any, **_others: Any
    ) -> None:
        self._updated = read_clocks(self._settings.device)

    def on_step_end(self, _arguments: Any, state: Any, _control: Any, **_others: Any) -> None:
        if state.global_step == 1:
            return
        trainer, started, ended = self.trainer, self._started, self._updated
        whole = self._settings.mode == "step"
        self._conversation.send_measurement(
            Measurement(
                update_seconds=ended.wall - trainer.sampled.wall,
                step_seconds=ended.wall - started.wall if whole else None,
                update_processor_seconds=ended.processor - trainer.sampled.processor,
                step_processor_seconds=(ended.processor - started.processor if whole else None),
                tokens_computed=trainer.tokens_computed,
                prompt_tokens=trainer.prompt_tokens // self._settings.group_size,
                completion_tokens=trainer.completion_tokens,
                gradient_norm=trainer.gradient_norm,
                peak_memory_mib=read_peak_memory_mib(self._settings.device),
            )
        )


def main() -> None:
    conversation = Conversation()
    settings = parse_settings()
    torch.set_num_threads(settings.threads)
    tokenizer = AutoTokenizer.from_pretrained(str(settings.model))
    prompts = make_prompts(tokenizer, settings)
    stopwatch = Stopwatch(conversation, settings)
    stopwatch.prompt_ids = tokenizer(prompts)["input_ids"]

    def reward(*, trainer_state: Any, **_others: Any) -> list[float]:
        return make_rewards(settings, settings.steps[int(trainer_state.global_step)])

    with tempfile.TemporaryDirectory() as folder:
        stopwatch.trainer = TimedTrainer(
            model=str(settings.model),
            reward_funcs=reward,
            args=make_configuration(settings, Path(folder)),
            train_dataset=Dataset.from_dict({"prompt": prompts}),
            processing_class=tokenizer,
            peft_config=LoraConfig(
                r=LORA_RANK,
                lora_alpha=LORA_ALPHA,
                lora_dropout=0.0,
                target_modules="all-linear",
                task_type="CAUSAL_LM",
            ),
            callbacks=[stopwatch],
        )
        stopwatch.trainer.settings = settings
        # The engine's adapter, so that both compute the same gradient.
        weights = safetensors.torch.load_file(settings.adapter / "adapter_model.safetensors")
        loaded = set_peft_model_state_dict(stopwatch.trainer.model, weights)
        if loaded.unexpected_keys:
            raise RuntimeError(f"the adapter has other layers: {loaded.unexpected_keys[:3]}")
        stopwatch.trainer.train()


def make_configuration(settings: Settings, folder: Path) -> Any:
    """One group a step, no KL term, no checkpointing of activations; the rest as TRL has it."""
    return GRPOConfig(
        output_dir=str(folder),
        max_steps=len(settings.steps),
        per_device_train_batch_size=settings.completions_per_pass,
        gradient_accumulation_steps=settings.group_size // settings.completions_per_pass,
        num_generations=settings.group_size,
        max_completion_length=settings.steps[-1].shape.completion_tokens,
        beta=0.0,
        gradient_checkpointing=False,
        learning_rate=LEARNING_RATE,
        lr_scheduler_type="constant",
        max_grad_norm=GRADIENT_CLIP_NORM,
        use_cpu=settings.device == "cpu",
        # Weights in the given type; bfloat16 with autocast, which is TRL's default.
        bf16=settings.dtype == "bfloat16",
        model_init_kwargs={"dtype": settings.dtype},
        shuffle_dataset=False,
        seed=settings.seed,
        logging_strategy="no",
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        dataloader_pin_memory=False,
    )


if __name__ == "__main__":
    main()
