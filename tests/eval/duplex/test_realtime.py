"""A scene in real time, to a server whose answers are scripted."""

from __future__ import annotations

import asyncio
import json

import numpy as np
import pytest

from freeze_omni.client.realtime import HZ, ServerError, decode, encode
from freeze_omni.data.audio import read_audio
from freeze_omni.eval.duplex.play import Hearing
from freeze_omni.eval.duplex.realtime import play_realtime
from freeze_omni.eval.duplex.scene import Said, ScriptedScene
from tests.eval.duplex.rig import voice

SECONDS = 1.6


class Server:
    """Speaks after `begin_s` of input, all its sound at once; stops when it hears the user speak into it."""

    def __init__(self, begin_s: float, ends: bool = False) -> None:
        self.begin_s, self.ends = begin_s, ends
        self.heard: list[np.ndarray] = []
        self.sent: list[str] = []
        self._told: asyncio.Queue = asyncio.Queue()
        self._speaks = self._stopped = False

    async def send(self, kind, **content):
        self.sent.append(kind)
        if kind != "input_audio_buffer.append":
            return
        piece = decode(content["audio"])
        self.heard.append(piece)
        if self.ends:
            self._told.put_nowait(None)
        if not self._speaks and sum(map(len, self.heard)) >= self.begin_s * HZ:
            self._speaks = True
            self._tell("response.created")
            self._tell("response.output_item.added", item={"id": "item"})
            self._tell("response.output_audio.delta", delta=encode(voice(2.0, HZ)))
            self._tell("response.done", response={"status": "completed"})
        elif self._speaks and not self._stopped and np.abs(piece).max() > 0.1:
            self._stopped = True
            self._tell("output_audio_buffer.cleared")

    def _tell(self, kind, **content):
        self._told.put_nowait({"type": kind, **content})

    async def events(self):
        while (event := await self._told.get()) is not None:
            yield event
        raise ServerError("the session is over")


def hearing() -> Hearing:
    said = (Said("turn", 0.1, 0.3, "respond"), Said("interruption", 1.2, 1.4, "stop"))
    bed = np.zeros(round(SECONDS * HZ), np.float32)
    bed[round(0.1 * HZ) : round(0.3 * HZ)] = voice(0.2, HZ)
    return Hearing(ScriptedScene("interruption-0", "interruption", SECONDS, said, 0.3), bed, voice(0.2, HZ), HZ)


def test_an_interruption_in_real_time(tmp_path):
    server, scene = Server(0.5), hearing()
    asyncio.run(play_realtime(server, scene, tmp_path))
    told = json.loads((tmp_path / "output.json").read_text())["events"]
    assert [event["event"] for event in told] == ["answer", "speaks", "stops"], "it did not end by itself"
    begin_s, stop_s = told[1]["time_s"], told[2]["time_s"]
    start_s = scene.scene.event.start_s
    assert start_s == pytest.approx(begin_s + 0.3, abs=0.05) and stop_s == pytest.approx(start_s + 0.04, abs=0.2)
    wav, hz = read_audio(str(tmp_path / "output.wav"))
    assert len(wav) == round(SECONDS * hz)
    loud = np.flatnonzero(np.abs(wav) > 0.1) / hz
    assert (loud[0], loud[-1]) == pytest.approx((begin_s, stop_s), abs=0.02)
    heard = np.concatenate(server.heard)
    assert np.abs(heard[: len(scene)] - scene.heard).max() < 1e-3, "the server was sent what input.wav has"
    assert "conversation.item.truncate" in server.sent


def test_a_session_that_the_server_ends_is_told(tmp_path):
    with pytest.raises(ServerError, match="the session is over"):
        asyncio.run(play_realtime(Server(9.0, ends=True), hearing(), tmp_path))
