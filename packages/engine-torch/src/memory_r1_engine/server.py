"""The HTTP face: routes, the token, and errors that are always `{"detail": ...}`."""

from __future__ import annotations

import asyncio
import base64
import hmac
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol, get_args

from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response, StreamingResponse
from pydantic import Field
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

from memory_r1_engine import PROTOCOL_VERSION, __version__, protocol, types
from memory_r1_engine.chat import ChatCodec, ChatRequest, StandardMessage, stream_events
from memory_r1_engine.futures import FutureStore, describe, error_body
from memory_r1_engine.ranking import (
    RerankRequest,
    TextReranker,
    check_request,
    describe_reranker,
    to_ranks,
)
from memory_r1_engine.service import Engine, EngineService, ServedModel, fresh_seed
from memory_r1_engine.types import EngineError

HEALTH_PATH = "/api/v1/healthz"
#: A batch of training data is a few megabytes; anything near this is a mistake.
MAX_BODY_BYTES = 1 << 30


class TextEmbedder(Protocol):
    """What the embedding routes need (`embeddings.Embedder`)."""

    @property
    def dimension(self) -> int: ...

    def embed(
        self, texts: list[str], *, normalize: bool = True, truncate: bool = True
    ) -> tuple[list[list[float]], int]: ...


@dataclass(frozen=True)
class ServerSettings:
    """How one server runs. Times in seconds."""

    token: str
    model_name: str
    model_directory: Path
    checkpoints_directory: Path
    dtype: str = "float32"
    device: str = "cpu"
    embedding_name: str | None = None
    reranker_name: str | None = None
    long_poll_seconds: float = 30.0
    wave_timeout_seconds: float = 60.0
    result_grace_seconds: float = 60.0
    housekeeping_seconds: float = 1.0


class EmbeddingsRequest(StandardMessage):
    """OpenAI's shape."""

    input: str | list[str]
    model: str | None = None
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: Annotated[int, Field(ge=1)] | None = None


class EmbedRequest(StandardMessage):
    """text-embeddings-inference's shape."""

    inputs: str | list[str]
    normalize: bool | None = None
    truncate: bool | None = None
    truncation_direction: Literal["Right", "right"] | None = None
    prompt_name: None = None


class TokenGuard:
    """Lets through what carries the launch's token; only the health check goes without."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._token = token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] == HEALTH_PATH or self._is_allowed(scope):
            await self._app(scope, receive, send)
            return
        detail = (
            "no valid token: send the engine's token as 'Authorization: Bearer <token>' "
            "or 'X-API-Key: <token>'"
        )
        response = JSONResponse({"detail": detail}, 401, headers={"WWW-Authenticate": "Bearer"})
        await response(scope, receive, send)

    def _is_allowed(self, scope: Scope) -> bool:
        for name, value in scope["headers"]:
            if name == b"authorization":
                scheme, _, given = value.partition(b" ")
                if scheme.lower() == b"bearer" and hmac.compare_digest(given.strip(), self._token):
                    return True
            elif name == b"x-api-key" and hmac.compare_digest(value.strip(), self._token):
                return True
        return False


def create_app(
    engine: Engine,
    settings: ServerSettings,
    embedder: TextEmbedder | None = None,
    reranker: TextReranker | None = None,
) -> FastAPI:
    """The application. Its lifespan starts and stops the worker thread."""
    service = EngineService(
        engine,
        ServedModel(settings.model_name, settings.model_directory),
        settings.checkpoints_directory,
        futures=FutureStore(grace_seconds=settings.result_grace_seconds),
        wave_timeout_seconds=settings.wave_timeout_seconds,
    )

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        service.worker.start()
        housekeeping = asyncio.create_task(_keep_house(service, settings.housekeeping_seconds))
        try:
            yield
        finally:
            housekeeping.cancel()
            service.worker.stop()

    app = FastAPI(
        title="Memory-R1 engine",
        version=__version__,
        lifespan=lifespan,
        openapi_url=None,
        max_body_size=MAX_BODY_BYTES,
    )
    app.add_middleware(TokenGuard, token=settings.token)
    _add_error_handlers(app)
    app.include_router(_protocol_routes(service, settings, reranker), prefix="/api/v1")
    app.include_router(_standard_routes(service, settings, embedder, reranker))
    return app


async def _keep_house(service: EngineService, period_seconds: float) -> None:
    while True:
        await asyncio.sleep(period_seconds)
        service.worker.expire_waves()
        service.futures.sweep()


def _capabilities(
    service: EngineService, settings: ServerSettings, reranker: TextReranker | None
) -> dict[str, Any]:
    return {
        "supported_models": [{"model_name": settings.model_name}],
        "engine": {
            "name": "memory-r1-engine-torch",
            "version": __version__,
            "dialect": "memory-r1",
            "protocol_version": PROTOCOL_VERSION,
        },
        "loss_fns": list(types.LOSS_SETTINGS),
        "loss_fn_settings": {name: list(keys) for name, keys in types.LOSS_SETTINGS.items()},
        "reduction": "sum",
        "roles": ["policy", "critic"],
        "full_finetune": False,
        "base_model_sampling": True,
        "adam_fields": [field.name for field in fields(types.AdamParams)],
        "target_alignment": ["full", "suffix"],
        "constraints": list(get_args(types.ConstraintType)),
        "shared_prefix_packing": service.engine.supports_packing,
        "waves": True,
        "prefix_cache": {
            "block_tokens": service.engine.prefix_block_tokens,
            "max_bytes": service.engine.prefix_cache_bytes,
        },
        "max_context_length": service.engine.max_context_length,
        "training": service.engine.training_settings,
        "reranker": describe_reranker(settings.reranker_name, reranker),
        "dtype": settings.dtype,
        "device": settings.device,
    }


def _protocol_routes(
    service: EngineService, settings: ServerSettings, reranker: TextReranker | None
) -> APIRouter:
    """The engine protocol. Handlers are coroutines: they run on the event loop's thread, one at a time."""
    router = APIRouter()

    @router.get("/healthz")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @router.get("/get_server_capabilities")
    async def get_server_capabilities() -> dict[str, Any]:
        return _capabilities(service, settings, reranker)

    @router.get("/metrics")
    async def metrics() -> dict[str, Any]:
        engine = service.engine
        return {"prefix_cache": engine.count_prefix_cache(), "drafts": engine.count_drafts()}

    @router.post("/client/config")
    async def client_config(_: protocol.ClientConfigRequest) -> dict[str, bool]:
        """What Tinker's SDK asks before anything else: no key to exchange, JSON bodies, chunks in their order."""
        return {
            "pjwt_auth_enabled": False,
            "proto_write_fwdbwd": False,
            "parallel_fwdbwd_chunks": False,
        }

    @router.post("/telemetry")
    async def telemetry() -> dict[str, str]:
        """Tinker's SDK reports on itself: nothing of it is kept."""
        return {"status": "accepted"}

    @router.get("/samplers/{sampler_id}")
    async def get_sampler(sampler_id: str) -> dict[str, Any]:
        return service.describe_sampler(sampler_id)

    @router.post("/create_session")
    async def create_session(_: protocol.CreateSessionRequest) -> dict[str, str]:
        return {"type": "create_session", "session_id": service.create_session()}

    @router.post("/session_heartbeat")
    async def session_heartbeat(given: protocol.SessionRequest) -> dict[str, str]:
        service.check_session(given.session_id)
        return {"type": "session_heartbeat"}

    @router.post("/create_model")
    async def create_model(given: protocol.CreateModelRequest) -> dict[str, Any]:
        model_id, request_id = service.create_model(given)
        return {
            "model_id": model_id,
            "request_id": request_id,
            "status": "created",
            "base_model": settings.model_name,
            "lora_config": given.lora_config.model_dump(),
            "model_role": given.model_role,
        }

    @router.post("/unload_model")
    async def unload_model(given: protocol.ModelRequest) -> dict[str, str]:
        request_id = service.unload_model(given.model_id)
        return {"request_id": request_id, "model_id": given.model_id}

    @router.post("/get_info")
    async def get_info(given: protocol.ModelRequest) -> dict[str, Any]:
        return service.get_info(given.model_id)

    @router.post("/forward")
    async def forward(given: protocol.ForwardRequest, request: Request) -> dict[str, str]:
        return _future(service.forward(given, await request.body()))

    @router.post("/forward_backward")
    async def forward_backward(
        given: protocol.ForwardBackwardRequest, request: Request
    ) -> dict[str, str]:
        return _future(service.forward_backward(given, await request.body()))

    @router.post("/optim_step")
    async def optim_step(given: protocol.OptimStepRequest, request: Request) -> dict[str, str]:
        return _future(service.optim_step(given, await request.body()))

    @router.post("/save_weights")
    async def save_weights(given: protocol.SaveWeightsRequest, request: Request) -> dict[str, str]:
        return _future(service.save_weights(given, await request.body()))

    @router.post("/load_weights")
    async def load_weights(given: protocol.LoadWeightsRequest) -> dict[str, str]:
        return _future(service.load_weights(given))

    @router.post("/save_weights_for_sampler")
    async def save_weights_for_sampler(
        given: protocol.SaveWeightsForSamplerRequest, request: Request
    ) -> dict[str, str]:
        return _future(service.save_weights_for_sampler(given, await request.body()))

    @router.post("/create_sampling_session")
    async def create_sampling_session(
        given: protocol.CreateSamplingSessionRequest,
    ) -> dict[str, str]:
        sampler_id = service.create_sampling_session(given)
        return {"type": "create_sampling_session", "sampling_session_id": sampler_id}

    @router.post("/asample")
    async def asample(given: protocol.SampleRequest, request: Request) -> dict[str, str]:
        return _future(service.asample(given, await request.body()))

    @router.post("/retrieve_future")
    async def retrieve_future(given: protocol.RetrieveFutureRequest) -> Response:
        outcome = await service.futures.wait(given.request_id, settings.long_poll_seconds)
        if outcome is None:
            raise EngineError(408, f"{given.request_id} is not finished yet: ask again")
        return Response(outcome.body, outcome.status, media_type="application/json")

    return router


def _future(request_id: str) -> dict[str, str]:
    return {"request_id": request_id}


def _standard_routes(
    service: EngineService,
    settings: ServerSettings,
    embedder: TextEmbedder | None,
    reranker: TextReranker | None,
) -> APIRouter:
    """What clients of OpenAI's API and of text-embeddings-inference expect."""
    router = APIRouter()
    codec = ChatCodec(
        service.engine.tokenizer, service.engine.eos_token_ids, service.engine.max_context_length
    )

    @router.get("/v1/models")
    async def list_models() -> dict[str, Any]:
        others = (settings.embedding_name, settings.reranker_name)
        names = [settings.model_name, *(name for name in others if name is not None)]
        entries = [
            {"id": name, "object": "model", "created": 0, "owned_by": "memory-r1"} for name in names
        ]
        return {"object": "list", "data": entries}

    @router.post("/v1/chat/completions")
    async def chat_completions(given: ChatRequest) -> Response:
        name = settings.model_name if _is_unnamed(given.model) else str(given.model)
        sampler = service.sampler_named(name)
        if sampler is None:
            raise EngineError(
                404,
                f'no model "{name}": give "{settings.model_name}", a sampling_session_id '
                "or the path of saved sampler weights",
            )
        job = codec.job(given, fresh_seed())
        result = await asyncio.wrap_future(service.sample(sampler, job))
        reply = codec.reply(given, name, job, result)
        if given.stream:
            return StreamingResponse(stream_events(reply), media_type="text/event-stream")
        return JSONResponse(reply)

    async def embed(
        texts: list[str], *, normalize: bool = True, truncate: bool = True
    ) -> tuple[list[list[float]], int]:
        if embedder is None:
            raise EngineError(404, "no embedding model is served: start with --embedding-dir")
        # In the queue like everything else: torch's threads are shared.
        return await asyncio.wrap_future(
            service.worker.submit(
                lambda: embedder.embed(texts, normalize=normalize, truncate=truncate)
            )
        )

    @router.post("/v1/embeddings")
    async def embeddings(given: EmbeddingsRequest) -> dict[str, Any]:
        name = settings.embedding_name or ""
        if not _is_unnamed(given.model) and given.model != name:
            raise EngineError(
                404, f'no embedding model "{given.model}": this engine serves "{name}"'
            )
        if given.dimensions is not None and embedder and given.dimensions != embedder.dimension:
            raise EngineError(400, f"dimensions: this model's vectors have {embedder.dimension}")
        vectors, tokens = await embed(_texts(given.input))
        entries = [
            {
                "object": "embedding",
                "index": index,
                "embedding": _base64(vector) if given.encoding_format == "base64" else vector,
            }
            for index, vector in enumerate(vectors)
        ]
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        return {"object": "list", "data": entries, "model": name, "usage": usage}

    @router.post("/embed")
    async def text_embeddings(given: EmbedRequest) -> list[list[float]]:
        vectors, _ = await embed(
            _texts(given.inputs),
            normalize=given.normalize is not False,
            truncate=given.truncate is not False,
        )
        return vectors

    @router.post("/rerank")
    async def rerank(given: RerankRequest) -> list[dict[str, Any]]:
        if reranker is None:
            raise EngineError(404, "no reranker is served: start with --reranker-dir")
        check_request(given)
        logits = await asyncio.wrap_future(
            service.worker.submit(
                lambda: reranker.score(
                    given.query, given.texts, truncate=given.truncate is not False
                )
            )
        )
        return to_ranks(given, logits)

    return router


def _is_unnamed(model: str | None) -> bool:
    # @huggingface/inference fills in the endpoint's own URL where the caller named no model.
    return not model or model.startswith(("http://", "https://"))


def _texts(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def _base64(vector: list[float]) -> str:
    """Little-endian float32, as OpenAI's clients decode it."""
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()


def _add_error_handlers(app: FastAPI) -> None:
    def answer(status: int, detail: str) -> Response:
        return Response(error_body(detail), status, media_type="application/json")

    async def on_engine_error(_: Request, error: Exception) -> Response:
        return answer(*describe(error))

    async def on_invalid(_: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        return answer(422, _sentence(error))

    async def on_http_error(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        detail = str(error.detail)
        if error.status_code == 404:
            detail = f"no such path: {request.method} {request.url.path}"
        elif error.status_code == 405:
            detail = f"{request.url.path} does not take {request.method}"
        response = answer(error.status_code, detail)
        response.headers.update(error.headers or {})
        return response

    handlers: dict[type[Exception], Callable[[Request, Exception], Any]] = {
        EngineError: on_engine_error,
        RequestValidationError: on_invalid,
        HTTPException: on_http_error,
        # The server logs the traceback on standard error.
        Exception: on_engine_error,
    }
    for kind, handler in handlers.items():
        app.add_exception_handler(kind, handler)


def _sentence(error: RequestValidationError) -> str:
    """The first problem as `field: problem`."""
    problems = error.errors()
    first = problems[0]
    place = [str(part) for part in first["loc"] if part != "body"]
    if first["type"] == "json_invalid":
        reason = first.get("ctx", {}).get("error", "")
        return f"the body is no valid JSON: {reason} at position {place[-1] if place else 0}"
    message = first["msg"].removeprefix("Value error, ")
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return f"{'.'.join(place) or 'body'}: {message}{more}"
