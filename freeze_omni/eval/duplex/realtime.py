"""Play scenes to a running server in real time, through the Realtime protocol: any server that speaks it."""

import argparse
import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from freeze_omni.client.chat import Chat
from freeze_omni.client.realtime import HZ, OWN, PIECE_S, Realtime, ServerError
from freeze_omni.client.realtime import encode as encoded
from freeze_omni.config import ConfigError, read_yaml
from freeze_omni.data.fingerprint import fingerprint
from freeze_omni.eval.duplex.play import Hearing
from freeze_omni.eval.duplex.scene import ScriptedScene, write_output
from freeze_omni.eval.question import resampled
from freeze_omni.eval.runner import Records, progress


def play_scenes(args: argparse.Namespace, outputs: Path, scenes: Sequence[ScriptedScene]) -> None:
    """All scenes of args.scenes, each in its own session; a killed run is resumed. Raises ConfigError."""
    session = read_yaml(args.session) if args.session else {}
    made_from = {"server": args.server, "session": session, "scenes": [repr(scene) for scene in scenes]}
    made_from["sound"] = fingerprint(args.scenes)
    records, started_s = Records(outputs, made_from), time.time()
    todo = set(records.missing([scene.id for scene in scenes]))
    for scene in (one for one in scenes if one.id in todo):
        hearing = Hearing.of(args.scenes, scene, HZ)
        try:
            asyncio.run(_one(args, session, hearing, outputs / scene.id))
        except ServerError as error:
            raise ConfigError(f"--server: {error}") from None
        records.add([{"id": scene.id}])
        progress("duplex", len(records.found), len(scenes), started_s)


async def _one(args: argparse.Namespace, session: dict[str, Any], hearing: Hearing, folder: Path) -> None:
    async with Realtime(args.server, args.api_key, args.ca, dict(args.header)) as talk:
        if OWN in talk.session:
            session = session | {OWN: {"states": True, "cleared": True, "pauses": True, **session.get(OWN, {})}}
        if session:
            await talk.configure(**session)
            await talk.until("session.updated")
        await play_realtime(talk, hearing, folder)


async def play_realtime(talk: Realtime, hearing: Hearing, folder: Path) -> None:
    """One scene from now on, and its folder of outputs. hearing: at 24 kHz. Raises ServerError."""
    log, size = Log(Chat(talk, say=lambda line: None), talk.stop), round(PIECE_S * HZ)
    following = asyncio.create_task(log.follow(talk))
    try:
        for at in range(0, len(hearing), size):  # a microphone hands a piece over when it is full
            await asyncio.sleep(max((at + size) / HZ - log.now_s, 0))
            if following.done():
                following.result()
            piece = hearing.piece(at, size, log.begins_s, resampled(log.track(len(hearing)), HZ, HZ))
            await talk.send("input_audio_buffer.append", audio=encoded(piece))
    finally:
        following.cancel()
    write_output(folder, hearing.scene, (hearing.heard, HZ), (log.track(len(hearing)), HZ), log.events)


@dataclass
class Log:
    """What a server does, on the scene's time line. stop: its event for that. begins_s: when its voice began after
    silence."""

    chat: Chat
    stop: str
    events: list[dict[str, Any]] = field(default_factory=list)
    begins_s: list[float] = field(default_factory=list)
    _silent: bool = True
    _paused_s: float | None = None

    @property
    def now_s(self) -> float:
        return self.chat.voices.now_s()

    def track(self, samples: int) -> np.ndarray:
        """Its voice (samples,) at 24 kHz."""
        track = self.chat.voices.track()[:samples]
        return np.pad(track, (0, samples - len(track)))

    async def follow(self, talk: Realtime) -> None:
        """Raises ServerError if the server ends the session."""
        async for event in talk.events():
            self._note(event)
            await self.chat.take(event)

    def _note(self, event: dict[str, Any]) -> None:
        now_s, voices = self.now_s, self.chat.voices
        match event["type"]:
            case "freeze_omni.state" if event["state"]:
                self._tell(now_s, "state", state=event["state"])
            case "response.created":
                self._silent = True
                self._tell(now_s, "answer")
            case "response.output_audio.delta" if self.chat.plays(event):
                if self._silent:
                    self._tell(max(now_s, voices.ends_s), "speaks")
                if voices.waiting is None and voices.ends_s <= now_s:
                    self.begins_s.append(now_s)
                self._silent = False
            case "freeze_omni.paused":
                self._tell(now_s, "pauses")
                self._paused_s = now_s
            case "freeze_omni.resumed" if self._paused_s is not None:
                self._tell(now_s, "resumes")
                for one in self._ends_after(self._paused_s):
                    one["time_s"] = round(one["time_s"] + now_s - self._paused_s, 3)
                self._paused_s = None
            case kind if kind == self.stop and self.chat.sounds:
                # a finished answer that is cleared did not end by itself
                gone = self._ends_after(now_s if self._paused_s is None else self._paused_s)
                self.events, self._paused_s = [one for one in self.events if one not in gone], None
                self._tell(now_s, "stops")
            case "response.done" if event["response"]["status"] in ("completed", "incomplete"):
                reason = "done" if event["response"]["status"] == "completed" else "length"
                self._tell(max(now_s, voices.ends_s), "ended", reason=reason)
            case "error":
                self._tell(now_s, "error", message=event["error"]["message"])

    def _ends_after(self, time_s: float) -> list[dict[str, Any]]:
        return [one for one in self.events if one["event"] == "ended" and one["time_s"] > time_s]

    def _tell(self, time_s: float, event: str, **more: Any) -> None:
        self.events.append({"time_s": round(time_s, 3), "event": event, **more})
