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
OWN = {"temperature": None, "top_k": None, "top_p": None, "seed": 0, "states": False}
"""Ours, under `freeze_omni`: sampling, and whether `freeze_omni.state` events are sent."""
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
        "freeze_omni": dict(OWN),
    }


def update(session: dict[str, Any], changes: Any, limits: Limits) -> dict[str, Any]:
    """A copy of the session with `changes`. Raises RequestError."""
    changes, session = _object(changes, "session"), copy.deepcopy(session)
    for name, value in changes.items():
        path = f"session.{name}"
        if name in FIELDS:
            session[name] = FIELDS[name](value, path, limits)
        elif name == "audio":
            _update_audio(session["audio"], value, path)
        elif name == "freeze_omni":
            for key, part in _object(value, path, tuple(OWN)).items():
                unset = part is None and key != "states"
                session[name][key] = OWN[key] if unset else _OWN_CHECKS[key](part, f"{path}.{key}")
        elif name == "tools" and value:
            raise RequestError("This model calls no tools: leave 'tools' empty.", param=path)
        elif name not in _IGNORED:
            raise RequestError(f"Unknown parameter: '{path}'.", param=path)
    return session


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
        **{name: session["freeze_omni"][name] for name in OWN if name != "states"},
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


def _update_audio(audio: dict[str, Any], value: Any, path: str) -> None:
    value = _object(value, path, ("input", "output"))
    own = audio["input"]
    for name, part in _object(value.get("input", {}), f"{path}.input", tuple(own)).items():
        where = f"{path}.input.{name}"
        if name == "turn_detection":
            own[name] = _turn_detection(part, own[name], where)
        else:
            own[name] = _INPUT_CHECKS[name](part, where)
    output = _object(value.get("output", {}), f"{path}.output", tuple(audio["output"]))
    if "format" in output:
        audio["output"]["format"] = _format(output["format"], f"{path}.output.format")
    if output.get("speed", 1.0) != 1.0:
        raise RequestError("The voice has one speed, 1.0.", param=f"{path}.output.speed")
    # any voice is accepted, as clients always send one; the model has its own


def _turn_detection(value: Any, before: dict[str, Any] | None, path: str) -> dict[str, Any] | None:
    if value is None:
        return None
    value = _object(value, path)
    kind = _TURN_CHECKS["type"](value.get("type", (before or HEAD)["type"]), f"{path}.type")
    base = HEAD if kind == "semantic_vad" else SERVER_VAD
    given = _object(value, path, tuple(base)).items()
    return {
        **(before if before and before["type"] == kind else base),
        **{name: _TURN_CHECKS[name](part, f"{path}.{name}") for name, part in given},
    }


def _format(value: Any, path: str) -> dict[str, Any]:
    value = _object(value, path, ("type", "rate"))
    kind = _one_of(*RATES_HZ)(value.get("type", "audio/pcm"), f"{path}.type")
    rate = value.get("rate", RATES_HZ[kind])
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
_INPUT_CHECKS: dict[str, Check] = {
    "format": _format,
    "transcription": lambda value, path: None if value is None else _object(value, path),
    "noise_reduction": _null("There is no noise reduction here: set it to null."),
}
_OWN_CHECKS: dict[str, Check] = {
    "states": _SWITCH,
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
    "type", "model", "id", "object", "tools", "tool_choice", "parallel_tool_calls", "tracing", "truncation", "include",
    "prompt", "reasoning",
)  # fmt: skip
"""Accepted without an effect: clients always send them."""
