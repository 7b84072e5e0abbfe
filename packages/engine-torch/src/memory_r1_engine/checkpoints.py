"""Saved weights: their names, and the folders that hold them.

A path `memory-r1://<model_id>/<kind>/<name>` stands for the folder `<root>/<model_id>/<kind>/<name>`. The folder alone
is enough: an engine that was started later reads it under the same path.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from memory_r1_engine.protocol import CHECKPOINT_PATH
from memory_r1_engine.types import EngineError

#: `weights` hold adapter and optimiser, to go on training; `sampler_weights` the adapter alone, to sample.
CheckpointKind = Literal["weights", "sampler_weights"]


def checkpoint_path(model_id: str, kind: CheckpointKind, name: str) -> str:
    return f"memory-r1://{model_id}/{kind}/{name}"


class CheckpointStore:
    """The checkpoints under one root folder. Names are never used twice."""

    def __init__(self, root: Path) -> None:
        self._root = root
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
        """Lets `save` make the folder, whole or not at all, and gives the name free when it fails."""
        try:
            save(folder)
        except OSError as error:
            raise EngineError(500, f"cannot write the checkpoint {folder}: {error}") from error
        finally:
            with self._lock:
                self._reserved.discard(folder)
