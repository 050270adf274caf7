"""A dialogue in a terminal: lines for what is heard and answered, both voices on one time line."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from freeze_omni.client.realtime import HZ, Realtime, decode

# as `session.events` has them, which no client imports
STATE_NAMES = ("listening on", "answer", "nothing to answer", "wait")


@dataclass
class Voices:
    """Both voices from the start of the dialogue, samples at 24 kHz. The answer is played as it comes."""

    now_s: Callable[[], float]
    answers: list[tuple[float, np.ndarray]] = field(default_factory=list)
    ends_s: float = 0.0
    waiting: list[np.ndarray] | None = None  # in a pause: what is played after it

    def play(self, samples: np.ndarray) -> None:
        if self.waiting is not None:
            self.waiting.append(samples)
            return
        begin_s = max(self.ends_s, self.now_s())
        self.answers.append((begin_s, samples))
        self.ends_s = begin_s + len(samples) / HZ

    def heard_ms(self, since: int) -> int:
        """Of the pieces from number `since` on, how much was played up to now."""
        now_s = self.now_s()
        played_s = sum(min(max(0.0, now_s - at), len(part) / HZ) for at, part in self.answers[since:])
        return round(1000 * played_s)

    def stop(self) -> None:
        """Nothing more is played."""
        now_s, self.waiting = self.now_s(), None
        self._cut(now_s)

    def pause(self) -> None:
        """What was not played yet waits, and what comes."""
        now_s = self.now_s()
        after = [part[max(0, round((now_s - at) * HZ)) :] for at, part in self.answers]
        self.waiting = [part for part in after if len(part)]
        self._cut(now_s)

    def resume(self) -> None:
        waiting, self.waiting = self.waiting or [], None
        for samples in waiting:
            self.play(samples)

    def _cut(self, now_s: float) -> None:
        kept = [(at, part[: max(0, round((now_s - at) * HZ))]) for at, part in self.answers]
        self.answers = [(at, part) for at, part in kept if len(part)]
        self.ends_s = min(self.ends_s, now_s)

    def track(self) -> np.ndarray:
        """The answers (S,) on the dialogue's time line."""
        return placed(self.answers, round(self.ends_s * HZ) + 1)


def placed(pieces: list[tuple[float, np.ndarray]], size: int) -> np.ndarray:
    """Pieces at their seconds on a time line (size,)."""
    track = np.zeros(size, dtype=np.float32)
    for at_s, part in pieces:
        begin = round(at_s * HZ)
        part = part[: size - begin]
        track[begin : begin + len(part)] = part
    return track


class Chat:
    """Follows a session's events. `say` takes lines; `speaker` pieces of sound, or None to stop; `hold` whether it
    waits with those that it has not played."""

    def __init__(
        self,
        talk: Realtime,
        say: Callable[[str], None] = lambda text: print(text, flush=True),
        speaker: Callable[[np.ndarray | None], None] = lambda samples: None,
        states: bool = False,
        hold: Callable[[bool], None] = lambda paused: None,
    ) -> None:
        self._talk, self._say, self._speaker, self._states, self._hold = talk, say, speaker, states, hold
        self._begin_s = time.monotonic()
        self.voices = Voices(lambda: time.monotonic() - self._begin_s)
        self.responses = 0
        self._response: dict[str, Any] = {}
        self._last: dict[str, Any] = {}
        self._text = ""
        self._stopped = ""  # the item of which no more is played
        self._state: int | None = None

    @property
    def playing(self) -> bool:
        return bool(self._response) or self.sounds

    async def take(self, event: dict[str, Any]) -> None:
        match event["type"]:
            case "freeze_omni.state" if self._states and event["state"] != self._state:
                self._state = state = event["state"]
                self._line("state", f"{state} ({STATE_NAMES[state]})")
            case "conversation.item.input_audio_transcription.completed":
                self._line("you", event["transcript"])
            case "response.created":
                self._response, self._text = {"first": len(self.voices.answers), "audio": False}, ""
            case "response.output_item.added":
                self._response["item"] = event["item"]["id"]
            case "response.output_audio_transcript.delta" | "response.output_text.delta":
                self._text += event["delta"]
            case "response.output_audio.delta" if self.plays(event):
                self._play(decode(event["delta"]))
            case kind if kind == self._talk.stop and self.sounds:
                await self._cut()
            case "freeze_omni.paused":
                self.voices.pause()
                self._hold(True)
            case "freeze_omni.resumed":
                self.voices.resume()
                self._hold(False)
            case "response.done":
                note = {"cancelled": " [interrupted]", "incomplete": " [cut by length]"}
                self._line("answer", self._text.strip() + note.get(event["response"]["status"], ""))
                self._last, self._response = self._response, {}
                self.responses += 1
            case "error":
                self._line("error", event["error"]["message"])

    @property
    def sounds(self) -> bool:
        return self.voices.waiting is not None or self.voices.ends_s > self.voices.now_s()

    def plays(self, event: dict[str, Any]) -> bool:
        """Whether a piece of sound is played: after a stop some may still come."""
        return not self._stopped or event.get("item_id") != self._stopped

    def _play(self, samples: np.ndarray) -> None:
        if not self._response.get("audio"):
            self._response["audio"] = True
            self._line("speaks", "")
        self.voices.play(samples)
        self._speaker(samples)

    async def _cut(self) -> None:
        """The server has stopped an answer: report what was heard of it."""
        response = self._response or self._last
        if "item" in response:
            self._stopped = response["item"]
            place = {"item_id": self._stopped, "content_index": 0}
            heard_ms = self.voices.heard_ms(response["first"])
            await self._talk.send("conversation.item.truncate", **place, audio_end_ms=heard_ms)
        self.voices.stop()
        self._speaker(None)
        self._hold(False)

    def _line(self, name: str, text: str) -> None:
        self._say(f"{self.voices.now_s():8.2f} s  {name:<7} {text}".rstrip())
