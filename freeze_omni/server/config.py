"""Settings of `freeze-omni serve`."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from freeze_omni.engine.config import ServingConfig


@dataclass(frozen=True)
class Limits:
    """Limits of a client. A connection that passes one is closed, with the reason.

    message_bytes: of one message. messages_s: messages a second, over `burst_s` seconds.
    idle_s: without any message. audio_s: audio of one session. text_chars: of one text or system prompt.
    items: of one conversation; the oldest are forgotten. waiting_events: not yet taken by a slow client.
    """

    message_bytes: int = 2_000_000
    messages_s: float = 200.0
    burst_s: float = 5.0
    idle_s: float = 300.0
    audio_s: float = 3600.0
    text_chars: int = 20_000
    items: int = 500
    waiting_events: int = 2000


@dataclass(frozen=True)
class ServerConfig:
    """devices: one worker each. api_key: empty asks for none. close_s: time for answers to end at shutdown."""

    model: Path
    host: str = "127.0.0.1"
    port: int = 8765
    devices: tuple[str, ...] = ("cpu",)
    threads: int = 0
    api_key: str = ""
    tls_cert: Path | None = None
    tls_key: Path | None = None
    close_s: float = 5.0
    record: Path | None = None
    limits: Limits = field(default_factory=Limits)
    serving: ServingConfig = field(default_factory=ServingConfig)
