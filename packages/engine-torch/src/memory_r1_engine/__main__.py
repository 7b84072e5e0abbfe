"""Starts the server: `python -m memory_r1_engine --model-dir DIR --model-name NAME --checkpoints-dir DIR`.

Prints one line of JSON on standard output when it is ready; everything else goes to standard error. Ends when its
standard input ends, so that it never outlives the process that started it, and on SIGTERM and SIGINT.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn, TypeVar

from memory_r1_engine.types import DEFAULT_ROW_TOKENS

Loaded = TypeVar("Loaded")

TOKEN_VARIABLE = "MEMORY_R1_ENGINE_TOKEN"
#: How long open connections and a call in progress may take to finish, once the end was asked for.
GRACE_SECONDS = 2.0


class Ending:
    """Ends the process from wherever the end is asked for, even in the middle of a long torch call."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._code: int | None = None
        #: The running uvicorn server, once there is one.
        self.server: Any = None

    def __call__(self, code: int, reason: str) -> None:
        with self._lock:
            if self._code is not None:
                return
            self._code = code
        print(f"memory-r1-engine: ending: {reason}", file=sys.stderr, flush=True)
        if self.server is None:
            os._exit(code)
        self.server.should_exit = True
        timer = threading.Timer(GRACE_SECONDS, os._exit, (code,))
        timer.daemon = True
        timer.start()

    def finish(self) -> NoReturn:
        """Called when the server has stopped, asked or not."""
        # Not sys.exit: it would wait for the worker's call, which nobody waits for any more.
        os._exit(1 if self._code is None else self._code)


def fail(message: str) -> NoReturn:
    """One line on standard error and exit code 2: something the caller can put right."""
    print(f"memory-r1-engine: {' '.join(message.split())}", file=sys.stderr, flush=True)
    sys.exit(2)


def parse_arguments(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m memory_r1_engine",
        description="Serves one language model for training and sampling on a local port.",
        epilog=f"The token that clients must send is read from the variable {TOKEN_VARIABLE}.",
    )
    parser.add_argument("--model-dir", type=Path, required=True, help="folder of the base model")
    parser.add_argument("--model-name", help="the name clients use; default: the folder's name")
    parser.add_argument("--embedding-dir", type=Path, help="folder of a sentence encoder")
    parser.add_argument("--embedding-name", help="default: the folder's name")
    parser.add_argument("--reranker-dir", type=Path, help="folder of a cross-encoder")
    parser.add_argument("--reranker-name", help="default: the folder's name")
    parser.add_argument(
        "--checkpoints-dir", type=Path, required=True, help="where weights are saved"
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--dtype", choices=["float32", "bfloat16", "float64"], default="float32")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1, ...")
    parser.add_argument("--threads", type=int, help="torch threads; default: torch's own choice")
    parser.add_argument(
        "--no-packing", action="store_true", help="compute datums with an equal prompt one by one"
    )
    parser.add_argument(
        "--prefix-cache-mib",
        type=int,
        default=512,
        help="memory for prompts' keys and values that are kept across requests; 0 keeps none",
    )
    training = parser.add_argument_group("memory of training")
    training.add_argument(
        "--micro-batch-tokens",
        type=whole_number,
        default=DEFAULT_ROW_TOKENS,
        metavar="N",
        help=f"distinct tokens of one forward and backward pass; default {DEFAULT_ROW_TOKENS}",
    )
    training.add_argument(
        "--training-memory-gib",
        type=positive_number,
        metavar="GIB",
        help="what a pass may need beside the weights, as estimated; default: no bound",
    )
    training.add_argument(
        "--gradient-checkpointing",
        choices=["auto", "on", "off"],
        default="auto",
        help="compute layers again in the backward pass; auto: where they would not fit otherwise",
    )
    training.add_argument(
        "--attention",
        choices=["auto", "blocks", "sdpa", "flex"],
        default="auto",
        help="of packed rows; auto: flex on CUDA, blocks on a CPU, sdpa where they fail",
    )
    return parser.parse_args(arguments)


def whole_number(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not 1 or more")
    return value


def positive_number(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return value


def bind(host: str, port: int) -> socket.socket:
    """A listening socket, bound before the model is loaded so that a taken port is known at once."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        fail(f"cannot listen on {host}:{port}: {error}; choose another --host or --port")
    return listener


def watch_standard_input(ending: Ending) -> None:
    """Reads standard input to its end, which comes when the parent is gone, however it went."""

    def watch() -> None:
        try:
            while os.read(0, 65_536):
                pass
        except OSError as error:
            ending(0, f"standard input failed: {error}")
        else:
            ending(0, "standard input was closed")

    threading.Thread(target=watch, name="stdin-watch", daemon=True).start()


def take_standard_output() -> int:
    """A descriptor for the ready line; whatever a library prints from now on goes to standard error."""
    ready = os.dup(1)
    os.dup2(2, 1)
    return ready


def main(arguments: list[str] | None = None) -> None:
    options = parse_arguments(sys.argv[1:] if arguments is None else arguments)
    # Taken out of the environment: no process started from here needs it.
    token = os.environ.pop(TOKEN_VARIABLE, "")
    if not token:
        fail(
            f"the variable {TOKEN_VARIABLE} is not set: clients need a token to talk to the engine"
        )
    ready = take_standard_output()
    ending = Ending()

    def on_signal(number: int, _: FrameType | None) -> None:
        ending(128 + number, signal.Signals(number).name)

    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, on_signal)
    watch_standard_input(ending)
    listener = bind(options.host, options.port)
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING)
    serve(options, token, listener, ready, ending)


def serve(
    options: argparse.Namespace, token: str, listener: socket.socket, ready: int, ending: Ending
) -> None:
    # The models are folders on this machine: no library has to ask the hub about them.
    os.environ["HF_HUB_OFFLINE"] = "1"
    # Imported late: they take seconds, and wrong arguments and signals are answered before.
    import uvicorn
    from transformers.utils import logging as transformers_logging

    from memory_r1_engine.core import TorchEngine
    from memory_r1_engine.embeddings import Embedder
    from memory_r1_engine.reranker import Reranker
    from memory_r1_engine.server import ServerSettings, create_app

    transformers_logging.disable_progress_bar()
    model_directory: Path = options.model_dir.expanduser().resolve()
    model_name: str = options.model_name or model_directory.name

    def load_beside(
        what: str, folder: Path | None, create: Callable[[Path, str], Loaded]
    ) -> Loaded | None:
        if folder is None:
            return None
        try:
            return create(folder.expanduser().resolve(), options.device)
        except Exception as error:
            fail(f"cannot load the {what} {folder}: {type(error).__name__}: {error}")

    def load() -> tuple[TorchEngine, Embedder | None, Reranker | None]:
        try:
            if not model_directory.is_dir():
                raise FileNotFoundError("no such folder")
            engine = TorchEngine(
                model_directory,
                dtype=options.dtype,
                device=options.device,
                threads=options.threads,
                shared_prefix_packing=not options.no_packing,
                row_token_budget=options.micro_batch_tokens,
                training_memory_bytes=None
                if options.training_memory_gib is None
                else int(options.training_memory_gib * 2**30),
                gradient_checkpointing=options.gradient_checkpointing,
                attention=options.attention,
                prefix_cache_bytes=options.prefix_cache_mib * 2**20,
            )
        except Exception as error:
            fail(f"cannot load the model {model_directory}: {type(error).__name__}: {error}")
        embedder = load_beside("encoder", options.embedding_dir, Embedder)
        reranker = load_beside("reranker", options.reranker_dir, Reranker)
        return engine, embedder, reranker

    # OpenMP keeps threads for every thread that has computed. Were there more of them than processors, it would sleep
    # between operations instead of waiting a moment, and a decode step would take nearly twice as long (docs/log.md of
    # 2026-11-26): so the thread that loads ends before the engine's worker begins.
    with ThreadPoolExecutor(1, thread_name_prefix="load") as loading:
        engine, embedder, reranker = loading.submit(load).result()
    checkpoints: Path = options.checkpoints_dir.expanduser().resolve()
    try:
        checkpoints.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        fail(f"cannot make the checkpoints folder {checkpoints}: {error}")
    settings = ServerSettings(
        token=token,
        model_name=model_name,
        model_directory=model_directory,
        checkpoints_directory=checkpoints,
        dtype=options.dtype,
        device=options.device,
        embedding_name=None
        if embedder is None
        else options.embedding_name or embedder.directory.name,
        reranker_name=None
        if reranker is None
        else options.reranker_name or reranker.directory.name,
    )
    line = {
        "event": "ready",
        "port": listener.getsockname()[1],
        "pid": os.getpid(),
        "model": model_name,
    }

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            if self.started:
                os.write(ready, json.dumps(line).encode() + b"\n")
                os.close(ready)

    server = Server(
        uvicorn.Config(
            create_app(engine, settings, embedder, reranker),
            log_config=None,
            access_log=False,
            ws="none",
            # Longer than a client keeps an idle connection, so that it is never cut under a request.
            timeout_keep_alive=120,
            timeout_graceful_shutdown=1,
        )
    )
    ending.server = server
    # On a thread of its own uvicorn leaves the signals alone; the main thread stays free to take them.
    thread = threading.Thread(target=server.run, args=([listener],), name="http", daemon=True)
    thread.start()
    thread.join()
    ending.finish()


if __name__ == "__main__":
    main()
