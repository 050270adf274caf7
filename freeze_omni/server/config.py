"""Settings of `freeze-omni serve`."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from freeze_omni.engine.config import ServingConfig


@dataclass(frozen=True)
class Limits:
    """Limits of a client. A connection that passes one is closed with the reason, a single event that does is refused.

    message_bytes: of one message; OpenAI's clients send up to 15 MiB of audio in one, as base64.
    messages_s, bytes_s: a second, on average; `burst_s` seconds' worth (and one whole message) may come at once.
    idle_s: without any message. session_s: length of a session. audio_s: audio of one session.
    text_chars: of one text or system prompt, and of the typed texts that wait for a response.
    items, items_chars: of one conversation; the oldest are forgotten.
    waiting_events, waiting_bytes: for a slow client, not yet taken.
    connections: of one address at a time; 0 for any number, as behind a proxy. request_s: for a request's headers.
    """

    message_bytes: int = 21_000_000
    messages_s: float = 200.0
    bytes_s: float = 1_000_000.0
    burst_s: float = 5.0
    idle_s: float = 300.0
    session_s: float = 3600.0
    audio_s: float = 3600.0
    text_chars: int = 20_000
    items: int = 500
    items_chars: int = 1_000_000
    waiting_events: int = 2000
    waiting_bytes: int = 32_000_000
    connections: int = 64
    request_s: float = 10.0


@dataclass(frozen=True)
class ServerConfig:
    """devices: one worker each. api_key: empty asks for none. close_s: time for sessions to end at shutdown. llm_gguf:
    in place of the LLM's weights, or of the file packed.

    allowed_hosts: names of this server beyond those that it knows itself (`server.door`); `*` for any.
    """

    model: Path
    host: str = "127.0.0.1"
    port: int = 8765
    devices: tuple[str, ...] = ("cpu",)
    threads: int = 0
    api_key: str = ""
    allowed_hosts: tuple[str, ...] = ()
    tls_cert: Path | None = None
    tls_key: Path | None = None
    close_s: float = 5.0
    record: Path | None = None
    llm_gguf: Path | None = None
    limits: Limits = field(default_factory=Limits)
    serving: ServingConfig = field(default_factory=ServingConfig)

    def __post_init__(self) -> None:
        if not 0 <= self.close_s <= 86400:
            raise ValueError(f"close_s {self.close_s:g} is not between 0 and 86400 seconds")
