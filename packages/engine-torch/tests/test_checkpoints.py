"""Saved weights: whole or not at all, checked when they are read, and safe from a full disk."""

from __future__ import annotations

import errno
import json
import os
import resource
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from helpers import build_groups, create_random_model, get_flat, get_gradient
from memory_r1_engine.checkpoints import (
    CHECKSUMS_FILE,
    CheckpointStore,
    verify_folder,
    write_folder,
)
from memory_r1_engine.core import TorchEngine
from memory_r1_engine.types import AdamParams, EngineError, SampleJob

FILES = [
    "adapter_config.json",
    "adapter_model.safetensors",
    "memory_r1.json",
    "optimizer.safetensors",
]


@pytest.fixture
def saved(engine: TorchEngine, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    """A model after one step, saved as `first`; returns its id."""
    model_id = request.node.name
    create_random_model(engine, model_id)
    engine.forward_backward(model_id, build_groups(), "cross_entropy")
    engine.optim_step(model_id, AdamParams(learning_rate=1e-2))
    engine.save_weights(model_id, tmp_path / "first")
    yield model_id
    engine.unload_model(model_id)


def test_a_checkpoint_carries_checksums_that_the_system_s_tool_reads(
    engine: TorchEngine, saved: str, tmp_path: Path
) -> None:
    folder = tmp_path / "first"
    assert sorted(path.name for path in folder.iterdir()) == sorted([CHECKSUMS_FILE, *FILES])
    assert verify_folder(folder)
    checked = subprocess.run(
        ["sha256sum", "--check", "--strict", CHECKSUMS_FILE],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    assert checked.stdout.splitlines() == [f"{name}: OK" for name in FILES]
    # The same state has the same bytes.
    engine.save_weights(saved, tmp_path / "again")
    assert (tmp_path / "again" / CHECKSUMS_FILE).read_bytes() == (
        folder / CHECKSUMS_FILE
    ).read_bytes()


@pytest.mark.parametrize("name", FILES)
def test_one_flipped_bit_is_refused(
    engine: TorchEngine, saved: str, tmp_path: Path, name: str
) -> None:
    file = tmp_path / "first" / name
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    before = get_flat(engine, saved).clone()
    for load in (
        lambda: engine.load_weights(saved, tmp_path / "first", optimizer=True),
        lambda: engine.load_weights(saved, tmp_path / "first", optimizer=False),
        lambda: engine.load_snapshot(tmp_path / "first"),
    ):
        with pytest.raises(EngineError, match=f"is damaged: {name} has sha256") as caught:
            load()
        assert caught.value.status == 400
        assert "use an earlier checkpoint" in caught.value.detail
    assert torch.equal(get_flat(engine, saved), before)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "memory_r1.json").unlink(), "memory_r1.json cannot be read"),
        (lambda folder: (folder / CHECKSUMS_FILE).unlink(), "its checksums are missing"),
        (
            lambda folder: (folder / CHECKSUMS_FILE).write_text("00  ../../etc/passwd\n"),
            'SHA256SUMS has the line "00  ../../etc/passwd"',
        ),
        (
            lambda folder: (folder / CHECKSUMS_FILE).write_bytes(b"\xff"),
            "SHA256SUMS cannot be read",
        ),
    ],
)
def test_other_damage_is_refused_too(
    engine: TorchEngine,
    saved: str,
    tmp_path: Path,
    damage: Callable[[Path], None],
    message: str,
) -> None:
    damage(tmp_path / "first")
    with pytest.raises(EngineError) as caught:
        engine.load_weights(saved, tmp_path / "first", optimizer=True)
    assert message in caught.value.detail


def test_a_checkpoint_from_before_there_were_checksums_still_loads(
    engine: TorchEngine, saved: str, tmp_path: Path
) -> None:
    folder = tmp_path / "first"
    (folder / CHECKSUMS_FILE).unlink()
    description = json.loads((folder / "memory_r1.json").read_text(encoding="utf-8"))
    (folder / "memory_r1.json").write_text(json.dumps({**description, "version": 1}))
    engine.load_weights(saved, folder, optimizer=True)


def check_that_only_the_first_is_there(engine: TorchEngine, saved: str, folder: Path) -> None:
    assert [path.name for path in folder.iterdir()] == ["first"]
    assert verify_folder(folder / "first")
    engine.load_weights(saved, folder / "first", optimizer=True)


PLACES = [
    ("memory_r1_engine.adapters.write_tensors", 1),
    ("memory_r1_engine.core.write_tensors", 1),
    ("memory_r1_engine.checkpoints.hash_file", 3),
    ("memory_r1_engine.checkpoints._synchronise", 2),
    ("memory_r1_engine.checkpoints.os.replace", 1),
]


@pytest.mark.parametrize(("place", "calls"), PLACES)
def test_a_full_disk_anywhere_in_a_save_loses_nothing(
    engine: TorchEngine,
    saved: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    place: str,
    calls: int,
) -> None:
    left = calls

    def fail(*_: object, **__: object) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    store = CheckpointStore(tmp_path)
    weights = get_flat(engine, saved).clone()
    with monkeypatch.context() as patch:
        patch.setattr(place, fail)
        with pytest.raises(EngineError) as caught:
            store.write(tmp_path / "second", lambda target: engine.save_weights(saved, target))
    assert caught.value.status == 507
    assert f"no room for the checkpoint {tmp_path / 'second'} (No space left" in caught.value.detail
    assert "earlier checkpoints are as they were; make room, then resume" in caught.value.detail
    check_that_only_the_first_is_there(engine, saved, tmp_path)
    # With room again the same name can be saved, and the model was not touched.
    store.write(tmp_path / "second", lambda target: engine.save_weights(saved, target))
    assert verify_folder(tmp_path / "second")
    assert torch.equal(weights, get_flat(engine, saved))


def test_a_real_limit_on_the_size_of_files(engine: TorchEngine, saved: str, tmp_path: Path) -> None:
    """The kernel itself refuses the write: half of the weights fit."""
    store = CheckpointStore(tmp_path)
    size = (tmp_path / "first" / "adapter_model.safetensors").stat().st_size
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size // 2, old[1]))
    try:
        with pytest.raises(EngineError) as caught:
            store.write(tmp_path / "second", lambda target: engine.save_weights(saved, target))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
    assert caught.value.status == 507
    check_that_only_the_first_is_there(engine, saved, tmp_path)


def test_other_faults_of_the_disk_are_told_apart(
    engine: TorchEngine, saved: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr("memory_r1_engine.checkpoints._synchronise", fail)
    store = CheckpointStore(tmp_path)
    with pytest.raises(EngineError, match="Input/output error") as caught:
        store.write(tmp_path / "second", lambda target: engine.save_weights(saved, target))
    assert caught.value.status == 500
    check_that_only_the_first_is_there(engine, saved, tmp_path)


def test_nothing_is_overwritten(engine: TorchEngine, saved: str, tmp_path: Path) -> None:
    sums = (tmp_path / "first" / CHECKSUMS_FILE).read_bytes()
    with pytest.raises(EngineError, match="exists already") as caught:
        engine.save_weights(saved, tmp_path / "first")
    assert caught.value.status == 409
    assert (tmp_path / "first" / CHECKSUMS_FILE).read_bytes() == sums
    with pytest.raises(KeyboardInterrupt):
        write_folder(tmp_path / "second", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
    check_that_only_the_first_is_there(engine, saved, tmp_path)


def test_saved_sampler_weights_are_checked_when_they_are_sampled(
    engine: TorchEngine, saved: str, tmp_path: Path
) -> None:
    engine.save_snapshot(saved, tmp_path / "sampler")
    snapshot = engine.load_snapshot(tmp_path / "sampler")
    assert engine.sample([SampleJob((9, 20), 1, 2, snapshot=snapshot)])
    file = tmp_path / "sampler" / "adapter_model.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 128
    file.write_bytes(content)
    with pytest.raises(EngineError, match=r"adapter_model\.safetensors has sha256"):
        engine.load_snapshot(tmp_path / "sampler")


def test_pending_gradients_are_no_part_of_a_checkpoint(
    engine: TorchEngine, saved: str, tmp_path: Path
) -> None:
    engine.forward_backward(saved, build_groups(1), "cross_entropy")
    engine.save_weights(saved, tmp_path / "pending")
    engine.load_weights(saved, tmp_path / "pending", optimizer=True)
    assert not get_gradient(engine, saved).any()
    with pytest.raises(EngineError, match="call forward_backward before"):
        engine.optim_step(saved, AdamParams())


class _Killed(BaseException):
    """Stands for a SIGKILL: nothing is tidied up."""


def test_what_a_killed_save_has_left_is_removed_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = tmp_path / "model" / "weights" / "kept"
    write_folder(kept, lambda folder: (folder / "a").write_text("1"))  # type: ignore[arg-type]  # the count is not used

    def killed(folder: Path) -> None:
        (folder / "a").write_text("half")
        raise _Killed

    with monkeypatch.context() as patch:
        patch.setattr("shutil.rmtree", lambda *_, **__: None)
        with pytest.raises(_Killed):
            write_folder(kept.parent / "lost", killed)
    (remains,) = kept.parent.glob(".lost.*")
    # It may be another engine's that is just being filled.
    CheckpointStore(tmp_path)
    assert (remains / "a").read_text() == "half"
    for path in (remains / "a", remains):
        os.utime(path, (0, 0))
    CheckpointStore(tmp_path)
    assert [path.name for path in kept.parent.iterdir()] == ["kept"]
    assert verify_folder(kept)
