"""Saved weights: their names, the folders that hold them, and how those are written and checked.

A path `memory-r1://<model_id>/<kind>/<name>` stands for the folder `<root>/<model_id>/<kind>/<name>`. The folder alone
is enough: an engine that was started later reads it under the same path.

A folder appears whole or not at all: it is filled under a hidden name, synchronised to the disk with the checksums of
its files (`SHA256SUMS`, which `sha256sum --check` reads), and renamed. Nothing is ever overwritten, so a save that is
killed or runs out of disk leaves every earlier checkpoint as it was.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

import safetensors.torch
import torch

from memory_r1_engine.protocol import CHECKPOINT_PATH
from memory_r1_engine.types import EngineError

#: `weights` hold adapter and optimiser, to go on training; `sampler_weights` the adapter alone, to sample.
CheckpointKind = Literal["weights", "sampler_weights"]

CHECKSUMS_FILE = "SHA256SUMS"

#: What a system says when there is no room: disk, quota, largest size of a file.
NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


_UNFINISHED = ".unfinished"
"""How the name of a folder ends while it is filled."""

_ABANDONED_SECONDS = 3600
"""A folder that nothing was written to for so long is not being filled any more, by another engine neither."""


def checkpoint_path(model_id: str, kind: CheckpointKind, name: str) -> str:
    return f"memory-r1://{model_id}/{kind}/{name}"


class CheckpointStore:
    """The checkpoints under one root folder. Names are never used twice. What killed saves have left is removed."""

    def __init__(self, root: Path) -> None:
        self._root = root
        for kind in ("weights", "sampler_weights"):
            for folder in root.glob(f"*/{kind}/.*{_UNFINISHED}"):
                _remove_remains(folder)
        # Names whose saving is queued or running.
        self._reserved: set[Path] = set()
        self._lock = threading.Lock()

    def locate(self, path: str, kind: CheckpointKind) -> Path:
        """The folder of a checkpoint that exists or is being saved. Raises EngineError 400 or 404."""
        match = CHECKPOINT_PATH.fullmatch(path)
        if match is None:
            raise EngineError(
                400,
                f'"{path}" is no checkpoint path: expected memory-r1://<model_id>/{kind}/<name> '
                "as the save call returned it",
            )
        if match["kind"] != kind:
            use = "load_weights" if match["kind"] == "weights" else "sampling"
            raise EngineError(
                400, f'"{path}" holds {match["kind"]}, which are for {use}; needed here are {kind}'
            )
        folder = self._root / match["model_id"] / kind / match["name"]
        with self._lock:
            if folder not in self._reserved and not folder.is_dir():
                raise EngineError(404, f"no checkpoint {path}: {folder} does not exist")
        return folder

    def reserve(self, model_id: str, kind: CheckpointKind, name: str) -> Path:
        """Takes a name. Raises EngineError 409 when it is taken."""
        folder = self._root / model_id / kind / name
        with self._lock:
            if folder in self._reserved or folder.exists():
                raise EngineError(
                    409,
                    f"the checkpoint {checkpoint_path(model_id, kind, name)} exists already: "
                    "checkpoints are never overwritten, so choose another name",
                )
            self._reserved.add(folder)
        return folder

    def write(self, folder: Path, save: Callable[[Path], None]) -> None:
        """Lets `save` make the folder, whole or not at all, and gives the name free when it fails.

        Raises EngineError 507 where there is no room, 500 for other faults of the disk.
        """
        try:
            save(folder)
        except OSError as error:
            if error.errno in NO_ROOM:
                raise EngineError(507, _describe_full_disk(folder, error)) from error
            raise EngineError(500, f"cannot write the checkpoint {folder}: {error}") from error
        finally:
            with self._lock:
                self._reserved.discard(folder)


def _describe_full_disk(folder: Path, error: OSError) -> str:
    free = shutil.disk_usage(folder.parent).free / 2**20
    return (
        f"no room for the checkpoint {folder} ({error.strerror}; {free:.0f} MiB are free there): nothing was "
        "written, earlier checkpoints are as they were; make room, then resume"
    )


def write_tensors(
    path: Path, tensors: dict[str, torch.Tensor], metadata: dict[str, str] | None = None
) -> None:
    """A safetensors file. Written by Python, whose OSError tells a full disk from other faults."""
    path.write_bytes(safetensors.torch.save(tensors, metadata=metadata))


def write_folder(directory: Path, write: Callable[[Path], None]) -> None:
    """Let `write` fill a new folder beside `directory`, then rename it: readers see all or nothing.

    When this returns, the folder survives a power failure. Raises EngineError 409 where `directory` exists.
    """
    if directory.exists():
        raise EngineError(409, f"{directory} exists already: save under another name")
    directory.parent.mkdir(parents=True, exist_ok=True)
    temporary = directory.parent / f".{directory.name}.{uuid.uuid4().hex}{_UNFINISHED}"
    temporary.mkdir()
    try:
        write(temporary)
        files = sorted(path for path in temporary.iterdir())
        sums = "".join(f"{hash_file(path)}  {path.name}\n" for path in files)
        (temporary / CHECKSUMS_FILE).write_text(sums, encoding="utf-8")
        for path in (*files, temporary / CHECKSUMS_FILE, temporary):
            _synchronise(path)
        os.replace(temporary, directory)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    _synchronise(directory.parent)


def _remove_remains(folder: Path) -> None:
    """Delete a folder that a killed save has left."""
    try:
        newest = max(path.stat().st_mtime for path in (folder, *folder.iterdir()))
    except OSError:
        # Another engine has just finished or removed it.
        return
    if time.time() - newest > _ABANDONED_SECONDS:
        shutil.rmtree(folder, ignore_errors=True)


def verify_folder(directory: Path) -> bool:
    """Compare a folder's files with its checksums; False where it has none (another tool's adapter).

    Raises EngineError 400 that names the first file that is not what was saved.
    """
    try:
        text = (directory / CHECKSUMS_FILE).read_text(encoding="utf-8")
    except FileNotFoundError:
        return False
    except (OSError, UnicodeDecodeError) as error:
        raise _damaged(directory, f"{CHECKSUMS_FILE} cannot be read ({error})") from error
    for name, expected in _parse_sums(directory, text).items():
        try:
            found = hash_file(directory / name)
        except OSError as error:
            raise _damaged(directory, f"{name} cannot be read ({error})") from error
        if found != expected:
            raise _damaged(directory, f"{name} has sha256 {found}, was saved with {expected}")
    return True


def _parse_sums(directory: Path, text: str) -> Mapping[str, str]:
    sums: dict[str, str] = {}
    for line in text.splitlines():
        checksum, separator, name = line.partition("  ")
        if not separator or len(checksum) != 64 or Path(name).name != name:
            raise _damaged(directory, f'{CHECKSUMS_FILE} has the line "{line}"')
        sums[name] = checksum
    return sums


def _damaged(directory: Path, what: str) -> EngineError:
    return EngineError(
        400,
        f"the checkpoint {directory} is damaged: {what}. Nothing was loaded; use an earlier checkpoint "
        "or a copy of this one",
    )


def hash_file(path: Path) -> str:
    """Lower-case hex sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _synchronise(path: Path) -> None:
    """Wait until a file, or a folder's list of names, is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
