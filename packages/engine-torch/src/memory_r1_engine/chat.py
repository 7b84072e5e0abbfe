"""The OpenAI-shaped chat call: messages to token ids and back.

Unlike the engine's own protocol it ignores fields it does not know, because standard clients send many that carry no
meaning here (`user`, `metadata`, `store`); those that would change the reply and are not supported are refused by name.
"""

from __future__ import annotations

import copy
import json
import secrets
import time
from collections.abc import Iterator
from typing import Annotated, Any, Literal, Self

from jinja2 import TemplateError
from pydantic import BaseModel, ConfigDict, Field, model_validator

from memory_r1_engine import types
from memory_r1_engine.tools import (
    Tool,
    ToolChoice,
    ToolSignatures,
    describe_tools,
    format_tool_call,
    parse_tool_signatures,
    read_tool_call,
)
from memory_r1_engine.types import EngineError

DEFAULT_MAX_TOKENS = 256

#: Fields that change the reply and that this server does not implement, with the values that ask for nothing.
UNSUPPORTED: dict[str, tuple[Any, ...]] = {
    "functions": ([],),
    "function_call": ("none", "auto"),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "logit_bias": ({},),
    "frequency_penalty": (0,),
    "presence_penalty": (0,),
    "audio": (),
    "modalities": (["text"],),
    "prediction": (),
    "web_search_options": (),
    "reasoning_effort": (),
}


class StandardMessage(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True, allow_inf_nan=False, frozen=True)


class TextPart(StandardMessage):
    type: Literal["text"]
    text: str


class CalledFunction(StandardMessage):
    name: str
    #: JSON.
    arguments: str


class ToolCall(StandardMessage):
    type: Literal["function"] = "function"
    function: CalledFunction

    def text(self) -> str:
        return format_tool_call(self.function.name, self.function.arguments)


class ChatMessage(StandardMessage):
    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[TextPart] | None = None
    tool_calls: list[ToolCall] | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.content is None and not self.tool_calls:
            raise ValueError("content: is missing; only an assistant's tool_calls can stand for it")
        if self.tool_calls and self.role != "assistant":
            raise ValueError(
                f"tool_calls: belong to an assistant's message, not to a {self.role}'s"
            )
        return self

    def text(self) -> str:
        """What is said, with the calls in the form in which a reply makes them."""
        given = self.content or ""
        said = given if isinstance(given, str) else "".join(part.text for part in given)
        return "\n".join(
            [*([said] if said else []), *(call.text() for call in self.tool_calls or [])]
        )


class JsonSchemaFormat(StandardMessage):
    name: str = "reply"
    # Named `schema` on the wire, which would hide a method of BaseModel.
    schema_: dict[str, Any] = Field(alias="schema")


class ResponseFormat(StandardMessage):
    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchemaFormat | None = None

    def constraint(self) -> types.Constraint | None:
        if self.type == "text":
            return None
        if self.type == "json_object":
            return types.Constraint("json_schema", json.dumps({"type": "object"}))
        if self.json_schema is None:
            raise EngineError(422, "response_format.json_schema: is missing; give {name, schema}")
        return types.Constraint("json_schema", json.dumps(self.json_schema.schema_))


class ChatRequest(StandardMessage):
    messages: Annotated[list[ChatMessage], Field(min_length=1)]
    model: str | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    seed: int | None = None
    n: Annotated[int, Field(ge=1, le=128)] | None = None
    stop: str | list[str] | None = None
    response_format: ResponseFormat | None = None
    tools: list[Tool] | None = None
    tool_choice: Literal["none", "auto", "required"] | ToolChoice | None = None
    stream: bool | None = None

    @model_validator(mode="before")
    @classmethod
    def _supported(cls, value: Any) -> Any:
        if isinstance(value, dict):
            for name, harmless in UNSUPPORTED.items():
                given = value.get(name)
                if given is not None and given not in harmless:
                    raise ValueError(f"{name} is not supported by this server: leave it out")
        return value

    def stop_strings(self) -> tuple[str, ...]:
        stop = [self.stop] if isinstance(self.stop, str) else self.stop or []
        return tuple(text for text in stop if text)

    def signatures(self) -> ToolSignatures | None:
        """The tools that the reply may call."""
        if not self.tools or self.tool_choice == "none":
            return None
        choice = "auto" if self.tool_choice is None else self.tool_choice
        given = [tool.model_dump(exclude_none=True) for tool in self.tools]
        chosen = choice if isinstance(choice, str) else choice.model_dump()
        return parse_tool_signatures(json.dumps({"tools": given, "tool_choice": chosen}))

    def constraint(self) -> types.Constraint | None:
        signatures = self.signatures()
        asked = None if self.response_format is None else self.response_format.constraint()
        if signatures is None:
            return asked
        if asked is not None:
            raise EngineError(422, "tools and a response_format exclude each other: give one")
        return types.Constraint("tools", signatures.model_dump_json(exclude_none=True))


def encode_chat(tokenizer: Any, conversation: list[dict[str, str]]) -> list[int]:
    """The ids of a conversation with the assistant's turn opened.

    They are those of `apply_chat_template`, but for spellings of special tokens inside a message: each is encoded as
    its first character and the rest, apart, so that what someone said cannot end their turn or open another's
    (`encodeChat` of packages/engine does the same).
    """
    contents = "".join(message["content"] for message in conversation)
    # Longer ones first, so that none is found as a part of another.
    controls = sorted(
        (
            token.content
            for token in tokenizer.added_tokens_decoder.values()
            if token.special and len(token.content) > 1 and token.content in contents
        ),
        key=len,
        reverse=True,
    )
    if not controls:
        ids = tokenizer.apply_chat_template(
            conversation, add_generation_prompt=True, tokenize=True, return_dict=False
        )
        return [int(token) for token in ids]
    # A character of no meaning that the messages do not contain.
    mark = next(chr(code) for code in range(0xE000, 0xF900) if chr(code) not in contents)

    def broken(text: str) -> str:
        for control in controls:
            text = text.replace(control, control[0] + mark + control[1:])
        return text

    text = str(
        tokenizer.apply_chat_template(
            [{**message, "content": broken(message["content"])} for message in conversation],
            add_generation_prompt=True,
            tokenize=False,
        )
    )
    return [
        int(token)
        for part in text.split(mark)
        for token in tokenizer.encode(part, add_special_tokens=False)
    ]


class ChatCodec:
    """Renders conversations with the model's own template and reads completions. One thread (the event loop)."""

    def __init__(
        self, tokenizer: Any, eos_token_ids: tuple[int, ...], max_context_length: int
    ) -> None:
        # A copy: the worker thread uses the original, and tokenizers are not safe to share.
        self._tokenizer = copy.deepcopy(tokenizer)
        self._eos_token_ids = frozenset(eos_token_ids)
        self._max_context_length = max_context_length

    def prompt(
        self, messages: list[ChatMessage], signatures: ToolSignatures | None = None
    ) -> tuple[int, ...]:
        """A conversation's ids. Tools are described in a system message, and their results are a user's messages: most
        templates of small models have no place for either."""
        if getattr(self._tokenizer, "chat_template", None) is None:
            raise EngineError(400, "the served model has no chat template: it cannot hold a chat")
        conversation = [
            {"role": _TEMPLATE_ROLES.get(message.role, message.role), "content": message.text()}
            for message in messages
        ]
        if signatures is not None:
            description = describe_tools(signatures.callable_functions())
            if conversation[0]["role"] == "system":
                description = f"{conversation.pop(0)['content']}\n\n{description}"
            conversation.insert(0, {"role": "system", "content": description})
        try:
            return tuple(encode_chat(self._tokenizer, conversation))
        except TemplateError as error:
            raise EngineError(
                400, f"the model's chat template refuses the messages: {error}"
            ) from error

    def job(self, request: ChatRequest, fallback_seed: int) -> types.SampleJob:
        tokens = self.prompt(request.messages, request.signatures())
        max_tokens = request.max_completion_tokens or request.max_tokens
        if max_tokens is None:
            max_tokens = max(1, min(DEFAULT_MAX_TOKENS, self._max_context_length - len(tokens)))
        return types.SampleJob(
            tokens=tokens,
            num_samples=request.n or 1,
            max_tokens=max_tokens,
            temperature=1.0 if request.temperature is None else request.temperature,
            top_p=1.0 if request.top_p is None else request.top_p,
            # Clients may send negative seeds; the core takes what a generator takes.
            seed=fallback_seed if request.seed is None else request.seed % 2**53,
            stop_strings=request.stop_strings(),
            constraint=request.constraint(),
        )

    def reply(
        self, request: ChatRequest, model: str, job: types.SampleJob, result: types.SampleResult
    ) -> dict[str, Any]:
        """The `chat.completion` object."""
        choices = []
        for index, sequence in enumerate(result.sequences):
            text, finish_reason = self._read(sequence, request.stop_strings())
            message: dict[str, Any] = {"role": "assistant", "content": text}
            call = None if request.signatures() is None else read_tool_call(text)
            if call is not None:
                name, arguments = call
                function = {"name": name, "arguments": arguments}
                call_id = f"call_{secrets.token_hex(12)}"
                message["content"] = None
                message["tool_calls"] = [{"id": call_id, "type": "function", "function": function}]
                finish_reason = "tool_calls"
            choices.append(
                {
                    "index": index,
                    "message": message,
                    "logprobs": None,
                    "finish_reason": finish_reason,
                }
            )
        completion_tokens = sum(len(sequence.tokens) for sequence in result.sequences)
        return {
            "id": f"chatcmpl-{secrets.token_hex(12)}",
            "object": "chat.completion",
            "created": int(time.time()),
            "model": model,
            "choices": choices,
            "usage": {
                "prompt_tokens": len(job.tokens),
                "completion_tokens": completion_tokens,
                "total_tokens": len(job.tokens) + completion_tokens,
            },
        }

    def _read(self, sequence: types.SampledSequence, stop: tuple[str, ...]) -> tuple[str, str]:
        tokens = sequence.tokens
        if tokens and tokens[-1] in self._eos_token_ids:
            tokens = tokens[:-1]
        text = str(self._tokenizer.decode(tokens, skip_special_tokens=True))
        # The token that completes a stop string may begin before it and end behind it.
        ends = [end for end in (text.find(string) for string in stop) if end >= 0]
        if ends:
            return text[: min(ends)], "stop"
        return text, sequence.stop_reason


_TEMPLATE_ROLES = {"developer": "system", "tool": "user"}
"""Roles that a model's template need not know, as it does know them."""


def stream_events(reply: dict[str, Any]) -> Iterator[bytes]:
    """A finished reply as server-sent events, for clients that only stream: each choice in one piece."""
    head = {
        "id": reply["id"],
        "object": "chat.completion.chunk",
        "created": reply["created"],
        "model": reply["model"],
    }
    for choice in reply["choices"]:
        delta = dict(choice["message"])
        if "tool_calls" in delta:
            calls = enumerate(delta["tool_calls"])
            delta["tool_calls"] = [{"index": index, **call} for index, call in calls]
        piece = {"index": choice["index"], "delta": delta, "finish_reason": None}
        end = {"index": choice["index"], "delta": {}, "finish_reason": choice["finish_reason"]}
        yield _event({**head, "choices": [piece]})
        yield _event({**head, "choices": [end]})
    yield _event({**head, "choices": [], "usage": reply["usage"]})
    yield b"data: [DONE]\n\n"


def _event(value: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(value).encode() + b"\n\n"
