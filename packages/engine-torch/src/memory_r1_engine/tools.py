"""Tool signatures: the grammar of a reply that calls one of some functions, and how the call is read from the text.

A call is written as the chat templates of Hermes and Qwen2.5 write it, one to a reply:

    <tool_call>
    {"name": "add_memory", "arguments": {"text": "Anna lives by the lake."}}
    </tool_call>
"""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from memory_r1_engine.types import EngineError

CALL_START = "<tool_call>"
CALL_END = "</tool_call>"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True, frozen=True)


class ToolFunction(_Strict):
    """What may be called. `parameters` is a JSON schema of an object; without it the function takes nothing."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]
    description: str | None = None
    parameters: dict[str, Any] | None = None


class Tool(_Strict):
    """OpenAI's shape."""

    type: Literal["function"]
    function: ToolFunction


class ChosenFunction(_Strict):
    name: str


class ToolChoice(_Strict):
    type: Literal["function"]
    function: ChosenFunction


class ToolSignatures(_Strict):
    """The value of a constraint of type `tools`, as JSON.

    `required`: the reply is a call. `auto`: it is a call, or a text that does not begin with `<`. A function by name:
    it is a call of that one.
    """

    tools: Annotated[list[Tool], Field(min_length=1, max_length=128)]
    tool_choice: Literal["required", "auto"] | ToolChoice = "required"

    def callable_functions(self) -> list[ToolFunction]:
        functions = [tool.function for tool in self.tools]
        if isinstance(self.tool_choice, str):
            return functions
        name = self.tool_choice.function.name
        return [function for function in functions if function.name == name]


def parse_tool_signatures(value: str) -> ToolSignatures:
    """A constraint's value; a 400 says what is wrong with it."""
    try:
        signatures = ToolSignatures.model_validate_json(value)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "value"
        raise EngineError(400, f"invalid tools constraint: {place}: {first['msg']}") from error
    names = [tool.function.name for tool in signatures.tools]
    for name in names:
        if names.count(name) > 1:
            raise EngineError(400, f'invalid tools constraint: two tools are named "{name}"')
    if not signatures.callable_functions():
        raise EngineError(400, "invalid tools constraint: tool_choice names none of the tools")
    return signatures


def build_tool_grammar(signatures: ToolSignatures) -> str:
    """A grammar in llguidance's Lark dialect."""
    functions = signatures.callable_functions()
    calls = " | ".join(f"call_{index}" for index in range(len(functions)))
    rules = [f"{_quote(CALL_START + chr(10))} ( {calls} ) {_quote(chr(10) + CALL_END)}"]
    if signatures.tool_choice == "auto":
        # Empty, or anything that does not look like a call.
        rules.append("TEXT")
    lines = [f"start: {' | '.join(rules)}"]
    if signatures.tool_choice == "auto":
        lines.append("TEXT: /(?s:[^<].*)?/")
    for index, function in enumerate(functions):
        head = f'{{"name": {json.dumps(function.name)}, "arguments": '
        lines.append(f"call_{index}: {_quote(head)} arguments_{index} {_quote('}')}")
        lines.append(f"arguments_{index}: %json {json.dumps(_arguments_schema(function))}")
    return "\n".join(lines)


def _quote(text: str) -> str:
    """A string of the grammar; its escapes are JSON's."""
    return json.dumps(text)


def _arguments_schema(function: ToolFunction) -> dict[str, Any]:
    schema = function.parameters or {
        "type": "object",
        "properties": {},
        "additionalProperties": False,
    }
    # One spelling, the templates' own: free white space would let a weak model write blanks until its tokens are spent.
    spelling = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}
    return {**schema, "x-guidance": spelling}


def format_tool_call(name: str, arguments: str) -> str:
    """A call as a reply writes it; `arguments` is JSON."""
    return f'{CALL_START}\n{{"name": {json.dumps(name)}, "arguments": {arguments}}}\n{CALL_END}'


def read_tool_call(text: str) -> tuple[str, str] | None:
    """Name and arguments (as JSON) of the call that a reply consists of, or None where it is none."""
    stripped = text.strip()
    if not (stripped.startswith(CALL_START) and stripped.endswith(CALL_END)):
        return None
    try:
        call = json.loads(stripped[len(CALL_START) : -len(CALL_END)])
    except ValueError:
        return None
    if not isinstance(call, dict) or not isinstance(call.get("name"), str):
        return None
    arguments = call.get("arguments", {})
    if not isinstance(arguments, dict):
        return None
    return call["name"], json.dumps(arguments, ensure_ascii=False)


def describe_tools(functions: list[ToolFunction]) -> str:
    """What a system message says about the tools, in the form of the Hermes and Qwen2.5 templates."""
    lines = [
        json.dumps(
            {"type": "function", "function": function.model_dump(exclude_none=True)},
            ensure_ascii=False,
        )
        for function in functions
    ]
    example = format_tool_call("<function-name>", "<arguments-as-JSON>")
    return "\n".join(
        [
            "You may call one of these functions:",
            "<tools>",
            *lines,
            "</tools>",
            "To call one, reply with nothing but:",
            example,
        ]
    )
