"""Tinker's own Python SDK, unmodified, against a running engine: sample, forward_backward, optim_step, save, load.

    python -m venv /tmp/tinker && /tmp/tinker/bin/pip install -r tests/tinker_sdk/requirements.txt
    TINKER_API_KEY=tml-... /tmp/tinker/bin/python tests/tinker_sdk/drive_engine.py --base-url http://127.0.0.1:PORT

The engine is one whose MEMORY_R1_ENGINE_TOKEN is that key: the SDK takes none that does not begin with "tml-".
Prints one JSON object; exit code 1 if a number is not what it must be.
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

import tinker
from tinker import types

PROMPT = [65, 66, 67, 68, 69, 70, 71, 72]
TOLERANCE = 1e-4


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base-url", required=True)
    base_url = parser.parse_args().base_url
    service = tinker.ServiceClient(base_url=base_url)
    capabilities = service.get_server_capabilities()
    base_model = str(capabilities.supported_models[0].model_name)

    training = service.create_lora_training_client(base_model, rank=8, seed=1, train_unembed=False)
    prompt = types.ModelInput.from_ints(PROMPT)
    parameters = types.SamplingParams(max_tokens=6, temperature=1.0, seed=3)
    sampler = training.save_weights_and_get_sampling_client()
    sampled = sampler.sample(prompt, num_samples=2, sampling_params=parameters).result()
    sequences = [
        {"tokens": list(one.tokens), "logprobs": list(one.logprobs or [])}
        for one in sampled.sequences
    ]

    def datum(tokens: list[int], logprobs: list[float], advantage: float) -> types.Datum:
        """Targets as long as the input: the form that every Tinker server takes."""
        before = len(PROMPT) - 1
        return types.Datum(
            model_input=types.ModelInput.from_ints(PROMPT + tokens[:-1]),
            loss_fn_inputs={
                "target_tokens": [0] * before + tokens,
                "logprobs": [0.0] * before + logprobs,
                "advantages": [0.0] * before + [advantage] * len(tokens),
            },
        )

    data = [
        datum(one["tokens"], one["logprobs"], advantage)
        for one, advantage in zip(sequences, (1.0, -1.0), strict=True)
    ]
    output = training.forward_backward(data, "importance_sampling").result()
    step = training.optim_step(types.AdamParams(learning_rate=1e-3, eps=1e-8)).result()
    gaps = [
        abs(trained - drawn)
        for result, one in zip(output.loss_fn_outputs, sequences, strict=True)
        for trained, drawn in zip(
            list(result["logprobs"].data)[len(PROMPT) - 1 :], one["logprobs"], strict=True
        )
    ]
    after = training.forward(data, "cross_entropy").result()
    moved = [
        sum(list(now["logprobs"].data)[len(PROMPT) - 1 :]) - sum(one["logprobs"])
        for now, one in zip(after.loss_fn_outputs, sequences, strict=True)
    ]
    scores = service.create_sampling_client(base_model=base_model).compute_logprobs(prompt).result()
    saved = training.save_state("tinker-sdk").result()
    fresh = service.create_lora_training_client(base_model, rank=8, seed=2, train_unembed=False)
    fresh.load_state_with_optimizer(saved.path).result()
    loaded = fresh.forward(data, "cross_entropy").result()
    reloaded = max(
        abs(left - right)
        for one, other in zip(after.loss_fn_outputs, loaded.loss_fn_outputs, strict=True)
        for left, right in zip(one["logprobs"].data, other["logprobs"].data, strict=True)
    )
    report: dict[str, Any] = {
        "sdk": tinker.__version__,
        "base_model": base_model,
        "sampled_tokens": [len(one["tokens"]) for one in sequences],
        "sampler_trainer_gap": max(gaps),
        "loss": output.metrics.get("loss:sum"),
        "gradient_norm": (step.metrics or {}).get("grad_norm:last"),
        "log_probability_moved": moved,
        "prompt_logprobs": len(scores),
        "gap_after_load": reloaded,
    }
    sys.stdout.write(f"{json.dumps(report, indent=2)}\n")
    passed = (
        max(gaps) < TOLERANCE
        and (report["gradient_norm"] or 0) > 0
        and moved[0] > moved[1]
        and len(scores) == len(PROMPT)
        and scores[0] is None
        and reloaded < TOLERANCE
    )
    sys.stderr.write("passed\n" if passed else "FAILED\n")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
