"""The protocol's session object: what a client may set, checked field by field, and the engine's form of it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from freeze_omni.server.config import Limits
from freeze_omni.server.wire import RATES_HZ, RequestError
from freeze_omni.session.reducer import TurnDetection
from freeze_omni.session.session import SessionConfig

HEAD = {"type": "semantic_vad", "create_response": True, "interrupt_response": True, "eagerness": "auto"}
SERVER_VAD = {
    "type": "server_vad",
    "threshold": 0.5,
    "prefix_padding_ms": 960,
    "silence_duration_ms": 500,
    "create_response": True,
    "interrupt_response": True,
    "idle_timeout_ms": None,
}
OWN = {"temperature": None, "top_k": None, "top_p": None, "seed": 0, "states": False, "cleared": False, "pauses": False}
"""Ours, under `freeze_omni`: sampling, and which events are sent that a client of OpenAI's WebSocket may not know:
`freeze_omni.state`, `output_audio_buffer.cleared`, which OpenAI sends over WebRTC alone, and with `pauses`
`freeze_omni.paused` and `freeze_omni.resumed`, which the client follows. Next to them the server writes `refused`:
fields of the last update that were left out, and why."""
_EVENTS = ("states", "cleared")
_TURN_NAMES = {
    "interrupt": "interrupt_response",
    "silence_ms": "silence_duration_ms",
    "pre_roll_ms": "prefix_padding_ms",
    "open_above": "threshold",
}


def new_session(key: str, model: str, instructions: str) -> dict[str, Any]:
    """The session object before the client has chosen anything."""
    pcm = {"type": "audio/pcm", "rate": 24000}
    heard = {"transcription": {"model": "ctc"}, "noise_reduction": None, "turn_detection": dict(HEAD)}
    return {
        "type": "realtime",
        "object": "realtime.session",
        "id": key,
        "model": model,
        "instructions": instructions,
        "output_modalities": ["audio"],
        "max_output_tokens": "inf",
        "tools": [],
        "tool_choice": "none",
        "audio": {
            "input": {"format": dict(pcm), **heard},
            "output": {"format": dict(pcm), "voice": "default", "speed": 1.0},
        },
        "freeze_omni": {**OWN, "refused": {}},
    }


def update(session: dict[str, Any], changes: Any, default: dict[str, Any], limits: Limits) -> dict[str, Any]:
    """A copy of the session with `changes`; null sets a field to that of `default`. Raises RequestError.

    Tools are left out, and the rest is followed: to some clients (pipecat) an `error` is the end of the session.
    """
    changes, session = _object(changes, "session"), copy.deepcopy(session)
    refused = session["freeze_omni"]["refused"] = {}
    for name, value in changes.items():
        path = f"session.{name}"
        if name in FIELDS:
            session[name] = default[name] if value is None else FIELDS[name](value, path, limits)
        elif name == "audio":
            _update_audio(session["audio"], value, default["audio"], path, limits)
        elif name == "freeze_omni":
            for key, part in _optional(value, path, (*OWN, "refused")).items():
                if key in OWN:
                    session[name][key] = OWN[key] if part is None else _OWN_CHECKS[key](part, f"{path}.{key}")
        elif name in _TOOLS:
            if value not in _REFUSED[name][0]:
                refused[path] = _REFUSED[name][1]
        elif name in _REFUSED:
            _refuse(name, value, path)
        elif name not in _IGNORED:
            raise RequestError(f"Unknown parameter: '{path}'.", param=path)
    return session


def for_response(session: dict[str, Any], wanted: dict[str, Any], limits: Limits) -> dict[str, Any]:
    """A copy of the session as a single response wants it. Raises RequestError."""
    session = copy.deepcopy(session)
    for name, value in wanted.items():
        path = f"response.{name}"
        if name in _REFUSED:
            _refuse(name, value, path)
        elif value is None or name in _RESPONSE:
            continue
        elif name in FIELDS:
            session[name] = FIELDS[name](value, path, limits)
        elif name == "audio":
            _update_audio(session["audio"], _object(value, path, ("output",)), session["audio"], path, limits)
        elif name not in _IGNORED:
            raise RequestError(f"Unknown parameter: '{path}'.", param=path)
    return session


def metadata(value: Any, path: str) -> dict[str, Any] | None:
    """What a client notes on a response, as OpenAI limits it. Raises RequestError."""
    if value is None:
        return None
    right = isinstance(value, dict) and len(value) <= 16 and all(map(_is_note, value, value.values()))
    if not right:
        text = f"'{path}' must be an object of up to 16 texts of up to 512 characters."
        raise RequestError(text, param=path)
    return value


def _is_note(key: str, value: Any) -> bool:
    return len(key) <= 64 and isinstance(value, str) and len(value) <= 512


def session_config(session: dict[str, Any], own_prompt: str, longest: int) -> SessionConfig:
    """The session as the engine takes it. longest: tokens of an answer that the model allows."""
    turns = session["audio"]["input"]["turn_detection"]
    tokens = session["max_output_tokens"]
    chosen: dict[str, Any] = {"turn_detection": TurnDetection.MANUAL}
    if turns is not None and turns["create_response"]:
        by_head = turns["type"] == "semantic_vad"
        chosen = {name: turns[theirs] for name, theirs in _TURN_NAMES.items() if theirs in turns}
        chosen["turn_detection"] = TurnDetection.STATE_HEAD if by_head else TurnDetection.VAD
    return SessionConfig(
        system=None if session["instructions"] == own_prompt else session["instructions"],
        speech=session["output_modalities"] == ["audio"],
        max_new_tokens=None if tokens == "inf" else min(tokens, longest),
        **chosen,
        **{name: session["freeze_omni"][name] for name in OWN if name not in _EVENTS},
    )


def text(value: Any, path: str, limits: Limits) -> str:
    """Raises RequestError for anything but a text that is short enough."""
    if not isinstance(value, str):
        raise RequestError(f"'{path}' must be a string.", param=path)
    if len(value) > limits.text_chars:
        raise RequestError(f"'{path}' has {len(value)} characters, at most {limits.text_chars} are taken.", param=path)
    return value


def number(value: Any, path: str, low: float, high: float, whole: bool = False) -> float:
    """Raises RequestError for anything but a number from low to high."""
    right = isinstance(value, int) or isinstance(value, float) and not whole
    if not right or isinstance(value, bool) or not low <= value <= high:
        raise RequestError(f"'{path}' must be a {'whole ' if whole else ''}number from {low} to {high}.", param=path)
    return value


def _refuse(name: str, value: Any, path: str) -> None:
    """Raises RequestError if a client wants what this server does not have."""
    allowed, text = _REFUSED[name]
    if value not in allowed:
        raise RequestError(text, param=path)


def _update_audio(audio: dict[str, Any], value: Any, default: dict[str, Any], path: str, limits: Limits) -> None:
    value = _optional(value, path, ("input", "output"))
    own = audio["input"]
    for name, part in _optional(value.get("input"), f"{path}.input", tuple(own)).items():
        where = f"{path}.input.{name}"
        if name == "turn_detection":
            own[name] = _turn_detection(part, own[name], where)
        elif name == "transcription":
            own[name] = _transcription(part, where, limits)
        elif name == "format":
            own[name] = default["input"]["format"] if part is None else _format(part, where)
        else:
            _null("There is no noise reduction here: set it to null.")(part, where)
    output = _optional(value.get("output"), f"{path}.output", tuple(audio["output"]))
    if "format" in output:
        chosen = output["format"]
        kept = default["output"]["format"] if chosen is None else _format(chosen, f"{path}.output.format")
        audio["output"]["format"] = kept
    if output.get("speed") not in (None, 1.0):
        raise RequestError("The voice has one speed, 1.0.", param=f"{path}.output.speed")
    # any voice is accepted, as clients always send one; the model has its own


def _turn_detection(value: Any, before: dict[str, Any] | None, path: str) -> dict[str, Any] | None:
    if value is None:
        return None
    value = _object(value, path)
    kind = value.get("type")
    kind = (before or HEAD)["type"] if kind is None else _TURN_CHECKS["type"](kind, f"{path}.type")
    base = HEAD if kind == "semantic_vad" else SERVER_VAD
    given = {
        name: base[name] if part is None else _TURN_CHECKS[name](part, f"{path}.{name}")
        for name, part in _object(value, path, tuple(base)).items()
    }
    return {**(before if before and before["type"] == kind else base), **given, "type": kind}


def _transcription(value: Any, path: str, limits: Limits) -> dict[str, Any] | None:
    """The CTC head has no options; what clients always send is kept as they sent it."""
    if value is None:
        return None
    given = _object(value, path, ("model", "language", "prompt", "delay"))
    return {name: None if part is None else text(part, f"{path}.{name}", limits) for name, part in given.items()}


def _format(value: Any, path: str) -> dict[str, Any]:
    value = _object(value, path, ("type", "rate"))
    kind, rate = value.get("type"), value.get("rate")
    kind = "audio/pcm" if kind is None else _one_of(*RATES_HZ)(kind, f"{path}.type")
    rate = RATES_HZ[kind] if rate is None else rate
    if rate != RATES_HZ[kind]:
        raise RequestError(f"{kind} comes at {RATES_HZ[kind]} Hz, not {rate}: resample it.", param=f"{path}.rate")
    return {"type": kind, "rate": rate} if kind == "audio/pcm" else {"type": kind}


def _object(value: Any, path: str, names: tuple[str, ...] | None = None) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise RequestError(f"'{path}' must be an object.", param=path)
    for name in value:
        if names is not None and name not in names:
            raise RequestError(f"Unknown parameter: '{path}.{name}'.", param=f"{path}.{name}")
    return value


def _optional(value: Any, path: str, names: tuple[str, ...]) -> dict[str, Any]:
    return {} if value is None else _object(value, path, names)


# checks: of a value at a path; they return it as it is kept, or raise RequestError
Check = Callable[[Any, str], Any]


def _one_of(*choices: Any) -> Check:
    def check(value: Any, path: str) -> Any:
        if not any(value == choice and type(value) is type(choice) for choice in choices):
            raise RequestError(f"'{path}' must be one of {', '.join(map(str, choices))}.", param=path)
        return value

    return check


def _null(problem: str) -> Check:
    def check(value: Any, path: str) -> None:
        if value is not None:
            raise RequestError(problem, param=path)

    return check


_SWITCH, _MODALITIES = _one_of(True, False), _one_of(["audio"], ["text"])
_TURN_CHECKS: dict[str, Check] = {
    "type": _one_of("semantic_vad", "server_vad"),
    "create_response": _SWITCH,
    "interrupt_response": _SWITCH,
    "eagerness": _one_of("low", "medium", "high", "auto"),
    "threshold": lambda value, path: float(number(value, path, 0, 1)),
    "prefix_padding_ms": lambda value, path: int(number(value, path, 0, 10_000)),
    "silence_duration_ms": lambda value, path: int(number(value, path, 0, 10_000)),
    "idle_timeout_ms": _null("The model does not speak unasked: set 'idle_timeout_ms' to null."),
}
_OWN_CHECKS: dict[str, Check] = {
    "states": _SWITCH,
    "cleared": _SWITCH,
    "pauses": _SWITCH,
    "temperature": lambda value, path: number(value, path, 0, 5),
    "top_k": lambda value, path: number(value, path, 0, 10**6, whole=True),
    "top_p": lambda value, path: number(value, path, 1e-6, 1),
    "seed": lambda value, path: number(value, path, 0, 2**31, whole=True),
}
FIELDS: dict[str, Callable[[Any, str, Limits], Any]] = {
    "instructions": text,
    "output_modalities": lambda value, path, limits: _MODALITIES(value, path),
    "max_output_tokens": lambda value, path, limits: (
        value if value == "inf" else int(number(value, path, 1, 4096, True))
    ),
}
"""Checks of the fields that a session and a single response have."""
_IGNORED = (
    "model", "id", "object", "parallel_tool_calls", "tracing", "truncation", "include", "reasoning", "expires_at",
)  # fmt: skip
"""Accepted without an effect: clients always send them."""
_REFUSED: dict[str, tuple[tuple[Any, ...], str]] = {
    "type": ((None, "realtime"), "Only sessions of type 'realtime' are made here; they transcribe what they hear."),
    "tools": ((None, []), "This model calls no tools: leave 'tools' empty."),
    "tool_choice": ((None, "auto", "none"), "This model calls no tools: leave 'tool_choice' out."),
    "prompt": ((None,), "Prompts are not stored here: give their text as 'instructions'."),
}
"""What a client may send of a thing that is not had here, and what it is told if it sends more."""
_TOOLS = ("tools", "tool_choice")
_RESPONSE = ("conversation", "input", "metadata")
"""Fields of a response alone; the protocol reads them."""
