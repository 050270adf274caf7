"""A scene in real time, to a server whose answers are scripted."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading

import numpy as np
import pytest
import websockets
from websockets.sync.server import serve

from freeze_omni.bin import duplex_scenes, evaluate
from freeze_omni.client.realtime import HZ, ServerError, address, decode, encode
from freeze_omni.data.audio import read_audio
from freeze_omni.eval.duplex.play import Hearing
from freeze_omni.eval.duplex.realtime import play_realtime
from freeze_omni.eval.duplex.scene import Said, ScriptedScene
from tests.eval.duplex.rig import IDS, sentences, voice

SECONDS = 1.6


class Server:
    """Speaks after `begin_s` of input, all its sound at once; stops when it hears the user speak into it."""

    def __init__(self, begin_s: float, ends: bool = False) -> None:
        self.begin_s, self.ends = begin_s, ends
        self.heard: list[np.ndarray] = []
        self.sent: list[str] = []
        self._told: asyncio.Queue = asyncio.Queue()
        self._speaks = self._stopped = False
        self.stop = "output_audio_buffer.cleared"

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


@pytest.mark.parametrize(
    ("url", "whole"),
    [
        ("ws://127.0.0.1:8765", "ws://127.0.0.1:8765/v1/realtime"),
        ("ws://127.0.0.1:8765/", "ws://127.0.0.1:8765/v1/realtime"),
        ("wss://host/proxy/?model=a", "wss://host/proxy/v1/realtime?model=a"),
        ("wss://host/openai/v1/realtime?model=a", "wss://host/openai/v1/realtime?model=a"),
    ],
)
def test_the_address_of_a_server(url, whole):
    assert address(url) == whole


@contextlib.contextmanager
def theirs(key="secret", eagerness="high"):
    """Another's server, which knows nothing of ours and uses the beta's names: it answers a turn for two seconds, and
    tells that the user speaks; some of its sound comes even after that."""

    def talk(socket: websockets.sync.server.ServerConnection) -> None:
        def tell(kind, **content):
            socket.send(json.dumps({"type": kind, **content}))

        tell("session.created", session={"model": "theirs"})
        loud = quiet = 0
        speaks = stopped = False
        with contextlib.suppress(websockets.ConnectionClosed):
            for message in socket:
                event = json.loads(message)
                if event["type"] == "session.update":
                    right = event["session"] == {"type": "realtime", "turn_detection": {"eagerness": eagerness}}
                    tell("session.updated") if right else tell("error", error={"message": "no", "code": "invalid"})
                if event["type"] != "input_audio_buffer.append":
                    continue
                hears = np.abs(decode(event["audio"])).max() > 0.1
                loud, quiet = loud + hears, 0 if hears else quiet + 1
                if loud and quiet == 5 and not speaks:
                    speaks = True
                    tell("response.created", response={})
                    tell("response.output_item.added", item={"id": "item"})
                    tell("response.audio.delta", item_id="item", delta=encode(voice(2.0, HZ)))
                    tell("response.done", response={"status": "completed"})
                elif speaks and hears and not stopped:
                    stopped = True
                    tell("input_audio_buffer.speech_started", audio_start_ms=0, item_id="next")
                    tell("response.audio.delta", item_id="item", delta=encode(voice(2.0, HZ)))

    def enter(socket, request):
        if request.path != "/v1/realtime?model=theirs" or request.headers.get("api-key") != key:
            return socket.respond(401, "wrong key\n")

    with serve(talk, "127.0.0.1", 0, process_request=enter) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"ws://127.0.0.1:{server.socket.getsockname()[1]}/v1/realtime?model=theirs"
        server.shutdown()


@pytest.fixture(scope="module")
def interruption(tmp_path_factory):
    """One short scene, to be played in real time."""
    root = tmp_path_factory.mktemp("interruption")
    (root / "short.yaml").write_text("lead_s: [0.1, 0.1]\ntail_s: 1.0\n")
    words = ["--data", str(sentences(root / "data", *IDS, seconds=0.4)), "--config", str(root / "short.yaml")]
    duplex_scenes.main([*words, "--kinds", "interruption", "--count", "1", "--output", str(root / "scenes")])
    return root


def measured(folder, *words):
    (folder / "session.yaml").write_text("turn_detection: {eagerness: high}\n")
    words = ["--session", str(folder / "session.yaml"), *words, "--output", str(folder / "out")]
    evaluate.main(["duplex", "--scenes", str(folder / "scenes"), *words])
    return json.loads((folder / "out/duplex_scenes.json").read_text())["figures"]["duplex"]["kinds"]["interruption"]


@pytest.mark.servers
def test_a_server_that_is_not_ours_is_measured(interruption):
    with theirs() as url:
        figures = measured(interruption, "--server", url, "--header", "api-key: secret")
    assert figures["stopped"]["share"] == 1.0 and figures["stop_s"]["average"] < 0.5
    (told,) = (interruption / "out/duplex").glob("*/output.json")
    events = [event["event"] for event in json.loads(told.read_text())["events"]]
    assert events == ["answer", "speaks", "stops"], "it did not end by itself, and what came late is not played"


@pytest.mark.parametrize(
    ("served", "header", "message"),
    [({}, "api-key: wrong", "refused: wrong key"), ({"eagerness": "low"}, "api-key: secret", "--server: no")],
)
def test_a_server_that_refuses_ends_the_run_at_once(interruption, served, header, message, tmp_path):
    with theirs(**served) as url, pytest.raises(SystemExit, match=message):
        measured(interruption, "--server", url, "--header", header, "--output", str(tmp_path))


def test_a_header_without_a_name_is_told(capsys):
    with pytest.raises(SystemExit):
        evaluate.main(["duplex", "--scenes", "x", "--server", "ws://x", "--header", "secret"])
    assert "a header is 'NAME: VALUE'" in capsys.readouterr().err
