"""The protocol's session object: what a client may set, checked field by field, and the engine's form of it."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

from freeze_omni.server.config import Limits
from freeze_omni.server.wire import RATES_HZ
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


class FieldError(ValueError):
    """A field with a value that cannot be followed; `param` is its path."""

    def __init__(self, param: str, message: str) -> None:
        super().__init__(message)
        self.param = param


def new_session(key: str, model: str, instructions: str) -> dict[str, Any]:
    """The session object before the client has chosen anything."""
    pcm = {"type": "audio/pcm", "rate": 24000}
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
            "input": {
                "format": dict(pcm),
                "transcription": {"model": "ctc"},
                "noise_reduction": None,
                "turn_detection": dict(HEAD),
            },
            "output": {"format": dict(pcm), "voice": "default", "speed": 1.0},
        },
        "freeze_omni": dict(OWN),
    }


def update(session: dict[str, Any], changes: Any, limits: Limits) -> dict[str, Any]:
    """A copy of the session with `changes`. Raises FieldError."""
    changes, session = _object(changes, "session"), copy.deepcopy(session)
    for name, value in changes.items():
        if name in FIELDS:
            session[name] = FIELDS[name](value, f"session.{name}", limits)
        elif name in _RULES:
            _RULES[name](session, value)
        elif name not in _IGNORED:
            raise FieldError(f"session.{name}", f"Unknown parameter: 'session.{name}'.")
    return session


def session_config(session: dict[str, Any], own_prompt: str, longest: int) -> SessionConfig:
    """The session as the engine takes it. longest: tokens of an answer that the model allows."""
    turns = session["audio"]["input"]["turn_detection"]
    tokens = session["max_output_tokens"]
    config = SessionConfig(
        system=None if session["instructions"] == own_prompt else session["instructions"],
        turn_detection=TurnDetection.MANUAL,
        speech=session["output_modalities"] == ["audio"],
        max_new_tokens=None if tokens == "inf" else min(tokens, longest),
        **{name: session["freeze_omni"][name] for name in OWN if name != "states"},
    )
    if turns is None or not turns["create_response"]:
        return config
    if turns["type"] == "semantic_vad":
        return replace(config, turn_detection=TurnDetection.STATE_HEAD, interrupt=turns["interrupt_response"])
    return replace(
        config,
        turn_detection=TurnDetection.VAD,
        interrupt=turns["interrupt_response"],
        silence_ms=turns["silence_duration_ms"],
        pre_roll_ms=turns["prefix_padding_ms"],
        open_above=turns["threshold"],
    )


def _tools(session: dict[str, Any], value: Any) -> None:
    if value:
        raise FieldError("session.tools", "This model calls no tools: leave 'tools' empty.")


def _audio(session: dict[str, Any], value: Any) -> None:
    value = _object(value, "session.audio", ("input", "output"))
    given = _object(value.get("input", {}), "session.audio.input", tuple(session["audio"]["input"]))
    own = session["audio"]["input"]
    for name, part in given.items():
        path = f"session.audio.input.{name}"
        if name == "format":
            own["format"] = _format(part, path)
        elif name == "turn_detection":
            own["turn_detection"] = _turn_detection(part, own["turn_detection"], path)
        elif name == "transcription":
            own["transcription"] = None if part is None else _object(part, path)
        elif part is not None:
            raise FieldError(path, "There is no noise reduction here: set it to null.")
    output = _object(value.get("output", {}), "session.audio.output", tuple(session["audio"]["output"]))
    if "format" in output:
        session["audio"]["output"]["format"] = _format(output["format"], "session.audio.output.format")
    if output.get("speed", 1.0) != 1.0:
        raise FieldError("session.audio.output.speed", "The voice has one speed, 1.0.")
    # any voice is accepted, as clients always send one; the model has its own


def _own(session: dict[str, Any], value: Any) -> None:
    path = "session.freeze_omni"
    for name, part in _object(value, path, tuple(OWN)).items():
        if name == "states":
            session["freeze_omni"][name] = _one_of(part, (True, False), f"{path}.{name}")
        else:
            low, high = {"temperature": (0, 5), "top_k": (0, 10**6), "top_p": (1e-6, 1), "seed": (0, 2**31)}[name]
            whole = name in ("top_k", "seed")
            found = None if part is None else number(part, f"{path}.{name}", low, high, whole)
            session["freeze_omni"][name] = OWN["seed"] if name == "seed" and found is None else found


def _turn_detection(value: Any, before: dict[str, Any] | None, path: str) -> dict[str, Any] | None:
    if value is None:
        return None
    value = _object(value, path)
    kind = _one_of(value.get("type", (before or HEAD)["type"]), ("semantic_vad", "server_vad"), f"{path}.type")
    base = HEAD if kind == "semantic_vad" else SERVER_VAD
    found = dict(before) if before and before["type"] == kind else dict(base)
    for name, part in _object(value, path, tuple(base)).items():
        where = f"{path}.{name}"
        if name in ("create_response", "interrupt_response"):
            found[name] = _one_of(part, (True, False), where)
        elif name == "threshold":
            found[name] = float(number(part, where, 0, 1))
        elif name in ("prefix_padding_ms", "silence_duration_ms"):
            found[name] = int(number(part, where, 0, 10_000))
        elif name == "eagerness":
            found[name] = _one_of(part, ("low", "medium", "high", "auto"), where)
        elif name == "idle_timeout_ms" and part is not None:
            raise FieldError(where, "The model does not speak unasked: set 'idle_timeout_ms' to null.")
    return found


def _format(value: Any, path: str) -> dict[str, Any]:
    value = _object(value, path, ("type", "rate"))
    kind = _one_of(value.get("type", "audio/pcm"), tuple(RATES_HZ), f"{path}.type")
    rate = value.get("rate", RATES_HZ[kind])
    if rate != RATES_HZ[kind]:
        raise FieldError(f"{path}.rate", f"{kind} comes at {RATES_HZ[kind]} Hz, not {rate}: resample it.")
    return {"type": kind, "rate": rate} if kind == "audio/pcm" else {"type": kind}


def text(value: Any, path: str, limits: Limits) -> str:
    """Raises FieldError for anything but a text that is short enough."""
    if not isinstance(value, str):
        raise FieldError(path, f"'{path}' must be a string.")
    if len(value) > limits.text_chars:
        raise FieldError(path, f"'{path}' has {len(value)} characters, at most {limits.text_chars} are taken.")
    return value


def _modalities(value: Any, path: str, limits: Limits) -> list[str]:
    """Raises FieldError for anything but ["audio"] and ["text"]."""
    return _one_of(value, (["audio"], ["text"]), path)


def _tokens(value: Any, path: str, limits: Limits) -> int | str:
    """Raises FieldError for anything but `inf` and 1 to 4096."""
    return value if value == "inf" else int(number(value, path, 1, 4096, whole=True))


def number(value: Any, path: str, low: float, high: float, whole: bool = False) -> float:
    """Raises FieldError for anything but a number from low to high."""
    right = isinstance(value, int) or isinstance(value, float) and not whole
    if not right or isinstance(value, bool) or not low <= value <= high:
        raise FieldError(path, f"'{path}' must be a {'whole ' if whole else ''}number from {low} to {high}.")
    return value


def _one_of(value: Any, choices: tuple[Any, ...], path: str) -> Any:
    if not any(value == choice and type(value) is type(choice) for choice in choices):
        raise FieldError(path, f"'{path}' must be one of {', '.join(map(str, choices))}.")
    return value


def _object(value: Any, path: str, names: tuple[str, ...] | None = None) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise FieldError(path, f"'{path}' must be an object.")
    for name in value:
        if names is not None and name not in names:
            raise FieldError(f"{path}.{name}", f"Unknown parameter: '{path}.{name}'.")
    return value


FIELDS = {"instructions": text, "output_modalities": _modalities, "max_output_tokens": _tokens}
"""Checks of the fields that a session and a single response have."""
_RULES = {"tools": _tools, "audio": _audio, "freeze_omni": _own}
_IGNORED = (
    "type", "model", "id", "object", "tool_choice", "parallel_tool_calls", "tracing", "truncation", "include", "prompt",
    "reasoning",
)  # fmt: skip
"""Accepted without an effect: clients always send them."""
