"""What the server does with clients that are wrong, slow, many or unknown; health and metrics; a lost worker."""

from __future__ import annotations

import asyncio
import json
import time

import httpx
import numpy as np
import pytest
import websockets

from freeze_omni.engine.worker import Stop
from freeze_omni.server.config import Limits
from freeze_omni.server.connection import Bucket
from freeze_omni.server.tls import self_made
from freeze_omni.server.wire import PIECE_CHARS
from tests.server.rig import loud, pcm, quiet, serving
from tests.server.test_openai_client import client, say, talk, until
from tests.toy import toy_system

pytestmark = [
    pytest.mark.servers,
    pytest.mark.filterwarnings("error::pytest.PytestUnhandledThreadExceptionWarning"),
]
LIMITS = Limits(message_bytes=200_000, idle_s=0.7, audio_s=3.0, text_chars=50, messages_s=40, burst_s=2)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return toy_system(tmp_path_factory.mktemp("toy") / "llm")


@pytest.fixture(scope="module")
def place(model):
    with serving(model, limits=LIMITS) as (place, _):
        yield place


def exchange(place, *messages, wait_s=0.3, wanted=(), **options):
    """Send messages (objects as JSON), and give all events until those of the types `wanted` are among them, the
    server is silent or closes; and the code."""

    async def run():
        async with websockets.connect(f"ws://{place}/v1/realtime", **options) as socket:
            events = []
            try:
                for message in messages:
                    await socket.send(message if isinstance(message, str | bytes) else json.dumps(message))
                while not wanted or not {event["type"] for event in events} >= set(wanted):
                    events.append(json.loads(await asyncio.wait_for(socket.recv(), wait_s)))
                return events, None
            except TimeoutError:
                return events, None
            except websockets.ConnectionClosed as closed:
                return events, closed.rcvd.code if closed.rcvd else closed.sent.code

    return asyncio.run(run())


def codes(events):
    return [event["error"]["code"] for event in events if event["type"] == "error"]


UPDATE = "session.update"


@pytest.mark.parametrize(
    ("message", "code", "param"),
    [
        ("not json", "invalid_json", None),
        (b"\x00\x01", "invalid_event", None),
        ([1, 2], "invalid_event", None),
        ({"type": 7}, "invalid_event", None),
        ({"type": "no.such"}, "unknown_event", "type"),
        ({"type": UPDATE}, "invalid_value", "session"),
        ({"type": UPDATE, "session": {"colour": 1}}, "invalid_value", "session.colour"),
        ({"type": UPDATE, "session": {"instructions": 3}}, "invalid_value", "session.instructions"),
        ({"type": UPDATE, "session": {"instructions": "x" * 51}}, "invalid_value", "session.instructions"),
        ({"type": UPDATE, "session": {"output_modalities": ["smell"]}}, "invalid_value", "session.output_modalities"),
        ({"type": UPDATE, "session": {"max_output_tokens": True}}, "invalid_value", "session.max_output_tokens"),
        ({"type": UPDATE, "session": {"prompt": {"id": "p"}}}, "invalid_value", "session.prompt"),
        (
            {"type": UPDATE, "session": {"audio": {"input": {"format": {"type": "audio/pcm", "rate": 16000}}}}},
            "invalid_value",
            "session.audio.input.format.rate",
        ),
        (
            {"type": UPDATE, "session": {"audio": {"input": {"turn_detection": dict(type="server_vad", threshold=2)}}}},
            "invalid_value",
            "session.audio.input.turn_detection.threshold",
        ),
        ({"type": UPDATE, "session": {"freeze_omni": {"top_p": 0}}}, "invalid_value", "session.freeze_omni.top_p"),
        ({"type": "input_audio_buffer.append"}, "invalid_audio", "audio"),
        ({"type": "input_audio_buffer.append", "audio": "!!"}, "invalid_audio", "audio"),
        ({"type": "input_audio_buffer.append", "audio": "AAAA"}, "invalid_audio", "audio"),
        ({"type": "conversation.item.create", "item": {"type": "function_call"}}, "invalid_value", "item.type"),
        ("[" * 100_000, "invalid_json", None),
        (
            {"type": "conversation.item.create", "item": {"type": "message", "role": [], "content": [{}]}},
            "invalid_value",
            "item.content",
        ),
        ({"type": "conversation.item.truncate", "item_id": []}, "item_not_found", "item_id"),
        ({"type": "response.create", "response": {"conversation": "none"}}, "invalid_value", "response.conversation"),
    ],
)
def test_a_wrong_event_is_answered_and_the_session_goes_on(place, message, code, param):
    ok = {"type": UPDATE, "session": {"instructions": "ok"}}
    events, closed = exchange(place, message, ok, wait_s=10, wanted=("error", "session.updated"))
    assert codes(events) == [code] and closed is None
    assert next(event for event in events if event["type"] == "error")["error"]["param"] == param
    assert "session.updated" in [event["type"] for event in events]


def test_the_clients_event_id_comes_back_with_the_error(place):
    events, _ = exchange(place, {"type": "no.such", "event_id": "mine"}, wait_s=10, wanted=["error"])
    assert events[-1]["error"]["event_id"] == "mine"


def test_messages_that_are_too_large_end_the_connection(place):
    assert exchange(place, "x" * 300_000)[1] == 1009


def test_a_flood_ends_the_connection(place):
    events, closed = exchange(place, *[{"type": "input_audio_buffer.clear"}] * 120)
    assert closed == 1008 and codes(events)[-1] == "rate_limit"


def test_more_audio_than_a_session_may_have_ends_it(place):
    piece = {"type": "input_audio_buffer.append", "audio": pcm(np.zeros(48_000))}
    events, closed = exchange(place, piece, piece)
    assert closed == 1008 and codes(events) == ["audio_limit"]


def test_who_says_nothing_is_let_go(place):
    events, closed = exchange(place, wait_s=5)
    assert closed == 1008 and codes(events) == ["idle_timeout"]


def test_pages_of_other_sites_are_refused(place):
    with pytest.raises(websockets.InvalidStatus) as refused:
        exchange(place, origin="http://evil.example")
    assert refused.value.response.status_code == 403
    allowed, _ = exchange(place, origin=f"http://{place}", wait_s=10, wanted=["session.created"])
    assert allowed[0]["type"] == "session.created"


def test_one_session_too_many_is_refused_at_once_and_counted(model):
    with serving(model, max_sessions=1) as (place, _):

        async def run():
            async with client(place).realtime.connect(model="toy") as first:
                await until(first, "session.created")
                async with client(place).realtime.connect(model="toy") as second:
                    refused = (await until(second, "error"))[-1]
                await say(first, "Hello")
                return refused

        refused = asyncio.run(run())
        assert refused.error.code == "server_full" and "1 sessions" in refused.error.message
        metrics = httpx.get(f"http://{place}/metrics").text
        assert 'freeze_omni_refusals_total{reason="the server is full"} 1.0' in metrics
        talk(place, lambda connection: say(connection, "Hello"))  # there is room again


def test_a_key_is_asked_for(model):
    with serving(model, api_key="secret") as (place, _):
        for options in ({}, {"additional_headers": {"Authorization": "Bearer wrong"}}):
            with pytest.raises(websockets.InvalidStatus) as refused:
                exchange(place, **options)
            assert refused.value.response.status_code == 401
        talk(place, lambda connection: say(connection, "Hello"), key="secret")
        protocols = ["realtime", "openai-insecure-api-key.secret"]
        events, _ = exchange(place, subprotocols=protocols, wait_s=10, wanted=["session.created"])
        assert events[0]["type"] == "session.created"
        assert httpx.get(f"http://{place}/v1/models").status_code == 401


def test_health_and_metrics(model):
    with serving(model) as (place, _):
        talk(place, lambda connection: say(connection, "Hello"))
        health = httpx.get(f"http://{place}/health").json()
        assert health["status"] == "ok" and health["session_limit"] == 4
        assert httpx.get(f"http://{place}/v1/models").json()["data"][0]["id"] == "toy"

        async def report():
            async with httpx.AsyncClient() as web:
                for _ in range(40):
                    text = (await web.get(f"http://{place}/metrics")).text
                    if 'first_audio_seconds_count{worker="0"} 1' in text:
                        return text
                    await asyncio.sleep(0.1)
            raise AssertionError(text)

        text = asyncio.run(report())
        for name in ("sessions", "waiting_chunks", "real_time_factor", "listen_step_seconds", "refusals_total"):
            assert f"# TYPE freeze_omni_{name} " in text
        assert 'freeze_omni_first_audio_seconds_bucket{le="+Inf",worker="0"} 1.0' in text


def test_a_lost_worker_loses_no_dialogue(model):
    with serving(model, workers=2) as (place, router):

        async def run():
            async with client(place).realtime.connect(model="toy") as connection:
                await until(connection, "session.created")
                await say(connection, "Hello")
                lost = next(handle for handle in router.handles if handle.clients)
                lost.outbox.put(Stop())  # a worker that is a thread is not killed, but it goes unasked
                told = (await until(connection, "error"))[-1]
                answer = (await say(connection, "And then?"))[-1].response
                return lost, told, answer

        lost, told, answer = asyncio.run(run())
        assert told.error.code == "worker_lost" and lost not in router.handles and router.lost_workers == 1
        assert answer.output[0].content[0].transcript
        history = [handle for handle in router.handles if handle.ready]
        assert len(history) == 2  # it was started again


def test_two_users_do_not_hear_each_other(model):
    """What a session says beside others is what it says alone.

    The first turn is answered in text: of a spoken answer the history keeps what was played by the clock until the
    next turn, which is as much as the machine has time for.
    """

    async def one(place, text, sound):
        async with client(place).realtime.connect(model="toy") as connection:
            await until(connection, "session.created")
            await connection.session.update(session={"type": "realtime", "audio": {"input": {"turn_detection": None}}})
            events = await say(connection, text, output_modalities=["text"])
            await connection.input_audio_buffer.append(audio=pcm(sound))
            await connection.response.create()
            events += await until(connection, "response.done")
            kinds = ("output_audio", "output_text", "output_audio_transcript")
            return ["".join(e.delta for e in events if e.type == f"response.{kind}.delta") for kind in kinds]

    users = [("Hello", loud(0.5, seed=1)), ("The cow", loud(0.9, seed=2)), ("Anna", loud(0.3, seed=3))]
    with serving(model) as (place, _):

        async def together():
            return await asyncio.gather(*(one(place, *user) for user in users))

        found = asyncio.run(together())
        alone = [asyncio.run(one(place, *user)) for user in users]
    assert all(all(said) for said in alone)
    assert [texts for _, *texts in found] == [texts for _, *texts in alone]
    assert [len(audio) for audio, *_ in found] == [len(audio) for audio, *_ in alone]


def test_a_certificate_is_made_once(tmp_path):
    cert, key = self_made(tmp_path / "tls", "example.org")
    before = cert.read_bytes()
    assert self_made(tmp_path / "tls", "example.org") == (cert, key) and cert.read_bytes() == before
    assert key.stat().st_mode & 0o077 == 0
    from cryptography import x509

    names = x509.load_pem_x509_certificate(before).extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert {"localhost", "example.org"} <= set(names.value.get_values_for_type(x509.DNSName))


def test_a_burst_is_as_long_as_it_says(monkeypatch):
    now_s = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now_s)
    messages = Bucket(per_s=10, most=10 * 2.0)
    assert [messages.take(1) for _ in range(21)] == [True] * 20 + [False]
    now_s = 1000.0  # who was silent for long may not send more at once
    assert [messages.take(1) for _ in range(21)] == [True] * 20 + [False]
    now_s += 0.5
    assert messages.take(4) and not messages.take(1)


SMALL = {"type": "input_audio_buffer.clear"}


@pytest.mark.parametrize(
    ("limits", "messages", "code"),
    [
        ({"messages_s": 10, "burst_s": 1}, [SMALL] * 15, "rate_limit"),
        ({"messages_s": 10, "burst_s": 2}, [SMALL] * 15, None),
        ({"bytes_s": 1000, "message_bytes": 5000}, ["x" * 4000] * 4, "rate_limit"),
        ({"bytes_s": 1000, "message_bytes": 5000}, ["x" * 4000] * 2, None),
        ({"session_s": 0.5}, [], "session_expired"),
        ({"waiting_bytes": 2000}, [{"type": UPDATE, "session": {"instructions": "x" * 3000}}], "slow_client"),
    ],
    ids=str,
)
def test_a_session_has_budgets(model, limits, messages, code):
    with serving(model, limits=Limits(**limits)) as (place, router):
        events, closed = exchange(place, *messages, wait_s=30 if code else 2)
        assert closed == (1008 if code else None)
        assert not code or codes(events)[-1] == code
        assert code or "rate_limit" not in codes(events)


def test_a_whole_file_in_one_message_is_heard_and_answered(model):
    file = np.concatenate([quiet(0.5), loud(4.0), quiet(15.5)])
    turns = {"type": UPDATE, "session": {"type": "realtime", "audio": {"input": {"turn_detection": None}}}}
    append = {"type": "input_audio_buffer.append", "audio": pcm(file)}
    assert len(append["audio"]) > 10 * PIECE_CHARS
    ask = [{"type": "input_audio_buffer.commit"}, {"type": "response.create"}]
    with serving(model) as (place, _):
        events, closed = exchange(place, turns, append, *ask, wait_s=60, wanted=["response.done"], max_size=None)
    assert closed is None and not codes(events) and events[-1]["response"]["status"] in ("completed", "incomplete")


def test_audio_that_is_wrong_in_its_middle_is_one_error(place):
    audio = pcm(np.zeros(100_000))[: 4 * PIECE_CHARS]
    audio = audio[: 2 * PIECE_CHARS] + "%" + audio[2 * PIECE_CHARS + 1 : 3 * PIECE_CHARS]
    event = {"type": "input_audio_buffer.append", "audio": audio}
    events, _ = exchange(place, event, {"type": "no.such"}, wait_s=10, wanted=["error"])
    assert codes(events) == ["invalid_audio"], "and what is after it is not heard"


@pytest.mark.parametrize("text", ['{"type": "no", "x": "\\ud800"}', '{"type": NaN}', '{"type": 1e999}', "\ufeff{}"])
def test_what_is_almost_json_is_one_error(place, text):
    events, closed = exchange(place, text, wait_s=10, wanted=["error"])
    assert len(codes(events)) == 1 and closed is None


def test_a_transcription_session_is_refused_in_words(place):
    with pytest.raises(websockets.InvalidStatus) as refused:
        asyncio.run(_connect(f"ws://{place}/v1/realtime?intent=transcription"))
    assert refused.value.response.status_code == 400 and b"realtime" in refused.value.response.body


async def _connect(url):
    async with websockets.connect(url):
        pass


def test_a_bot_speaks_first(place):
    ask = {"type": "response.create", "response": {"instructions": "Greet.", "output_modalities": ["text"]}}
    events, _ = exchange(place, ask, wait_s=60, wanted=["response.done"])
    assert not codes(events) and events[-1]["response"]["usage"]["input_tokens"] > 0
