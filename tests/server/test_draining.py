"""A server that closes: what its probes say, who is refused, and what becomes of open sessions."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time

import httpx
import pytest
import websockets

from freeze_omni.engine.worker import Stop
from freeze_omni.pack import save
from tests.server.rig import address, running, serving
from tests.server.test_openai_client import client, say, until
from tests.toy import toy_system

pytestmark = [
    pytest.mark.servers,
    pytest.mark.filterwarnings("error::pytest.PytestUnhandledThreadExceptionWarning"),
]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return toy_system(tmp_path_factory.mktemp("toy") / "llm")


async def status(web, path, wanted, limit_s=10.0):
    """Ask until the answer has the wanted status; its JSON."""
    async with asyncio.timeout(limit_s):
        while (told := await web.get(path)).status_code != wanted:
            await asyncio.sleep(0.05)
    return told.json()


async def drained(place, stop, work):
    """Open a session, tell the server to stop, look at it, do `work` in the session, and leave."""
    async with httpx.AsyncClient(base_url=f"http://{place}") as web:
        async with client(place).realtime.connect(model="toy") as connection:
            await until(connection, "session.created")
            assert await status(web, "/readyz", 200) == {"status": "ok"}
            stop()
            assert await status(web, "/readyz", 503) == {"status": "the server is closing"}
            assert (await web.get("/livez")).status_code == 200
            assert (await web.get("/health")).json()["status"] == "unavailable"
            with pytest.raises(websockets.InvalidStatus) as refused:
                await websockets.connect(f"ws://{place}/v1/realtime")
            assert refused.value.response.status_code == 503
            assert json.loads(refused.value.response.body)["error"]["message"] == "the server is closing"
            assert 'freeze_omni_refusals_total{reason="the server is closing"} 1.0' in (await web.get("/metrics")).text
            await work(connection)


def test_an_open_session_goes_on_and_the_server_ends_with_it(model):
    with running(model, close_s=60) as (server, _):
        place = address(server)

        async def work(connection):
            assert (await say(connection, "Hello"))[-1].response.output

        asyncio.run(drained(place, lambda: setattr(server, "should_exit", True), work))  # the rig waits 20 s


def answers(place):
    try:
        return httpx.get(f"http://{place}/livez").status_code == 200
    except httpx.TransportError:
        return False


def test_a_session_that_stays_is_told_and_closed(model):
    with running(model, close_s=0.5) as (server, router):
        place = address(server)

        async def scenario():
            async with websockets.connect(f"ws://{place}/v1/realtime") as connection:
                await connection.recv()
                server.should_exit, begin_s, seen = True, time.monotonic(), []
                with pytest.raises(websockets.ConnectionClosed) as closed:
                    while True:
                        seen.append(json.loads(await asyncio.wait_for(connection.recv(), 20)))
                return seen[-1], closed.value.rcvd, time.monotonic() - begin_s

        told, code, waited_s = asyncio.run(scenario())
        assert told["error"]["code"] == "server_closing" and code.code == 1001 and waited_s >= 0.5
        assert router.closed["server_closing"] == 1


def test_a_worker_that_is_lost_while_the_server_closes_loses_no_dialogue(model):
    with running(model, workers=2, close_s=60) as (server, router):
        place = address(server)

        async def work(connection):
            lost = next(handle for handle in router.handles if handle.clients)
            lost.outbox.put(Stop())
            assert (await until(connection, "error"))[-1].error.code == "worker_lost"
            assert (await say(connection, "And then?"))[-1].response.output

        asyncio.run(drained(place, lambda: setattr(server, "should_exit", True), work))


def test_a_full_server_lives_and_is_not_ready(model):
    with serving(model, max_sessions=1, api_key="secret") as (place, _):

        async def scenario():
            async with httpx.AsyncClient(base_url=f"http://{place}") as web:
                async with client(place, "secret").realtime.connect(model="toy") as connection:
                    await until(connection, "session.created")
                    assert await status(web, "/readyz", 503) == {"status": "the server is full"}
                    assert await status(web, "/livez", 200) == {"status": "ok"}
                    assert (await web.get("/health")).status_code == 200, "a worker is up"
                await status(web, "/readyz", 200)

        asyncio.run(scenario())


def test_sigterm_lets_an_open_session_end(model, tmp_path):
    save(model, tmp_path / "pack")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = ["--model", tmp_path / "pack", "--port", str(port), "--max_sessions", "2", "--close_s", "60"]
    command = [sys.executable, "-m", "freeze_omni.bin.serve", *words]
    with open(tmp_path / "log", "w") as log:
        process = subprocess.Popen(command, stderr=log, env=os.environ | {"FREEZE_OMNI_API_KEY": ""})
    try:
        end_s = time.monotonic() + 240
        while not answers(f"127.0.0.1:{port}"):
            assert process.poll() is None and time.monotonic() < end_s, (tmp_path / "log").read_text()
            time.sleep(0.2)

        async def work(connection):
            assert (await say(connection, "Hello"))[-1].response.output

        asyncio.run(drained(f"127.0.0.1:{port}", process.terminate, work))
        assert process.wait(20) == -signal.SIGTERM, "as one that SIGTERM has ended: systemd takes that for success"
        assert "1 sessions have 60 s to end" in (tmp_path / "log").read_text()
    finally:
        process.kill()
        process.wait(10)
