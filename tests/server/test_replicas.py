"""Replicas on two Ray nodes of this machine. A node that is killed: tests/benchmarks/test_scale.py."""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import queue
import threading
import time
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks.load.server import running
from benchmarks.scale_ray import STORE_BYTES, apart, cluster, toy_server
from freeze_omni.bin import serve
from freeze_omni.client.realtime import Realtime, ServerError
from freeze_omni.engine import worker as msg
from freeze_omni.engine.worker import WorkerConfig

pytest.importorskip("ray", reason="Ray is not installed: pip install 'freeze_omni[ray]'")

WAIT_S = 120.0


async def until(true):
    async with asyncio.timeout(WAIT_S):
        while not true():
            await asyncio.sleep(0.05)


async def answered(talk):
    await talk.type("Hello")
    return (await talk.until("response.done"))[-1]["response"]["status"] in ("completed", "incomplete")


@pytest.mark.servers
def test_a_replica_that_serve_takes_away_ends_with_its_sessions(tmp_path):
    """A full replica sends clients to the other, then they are refused; on update each open session has its time."""
    apart(serve_and_take_away, tmp_path)


def serve_and_take_away(folder):
    from freeze_omni.server.replicas import deploy, deployed

    with cluster() as nodes:
        nodes.add_node(num_cpus=1, object_store_memory=STORE_BYTES)
        config = toy_server(folder, sessions=1, close_s=WAIT_S)
        with deployed(config, nodes.address) as router:

            async def scenario():
                async with running(config, router) as served:
                    await until(lambda: router.limit == 2)
                    async with Realtime(served.url) as one, Realtime(served.url) as other:
                        assert sorted(len(handle.clients) for handle in router.handles) == [1, 1]
                        with pytest.raises(ServerError, match="the server is full"):
                            async with Realtime(served.url) as third:
                                await third.next()
                        await asyncio.to_thread(deploy, config, "freeze-omni", 1)
                        await until(lambda: any(handle.leaving for handle in router.handles))
                        assert await answered(one) and await answered(other), "both go on"
                        assert router.lost_workers == 0 and router.limit <= 1

            asyncio.run(scenario())


class Echo:
    """In place of a worker: says back what it is told, until it is told to stop."""

    ticked_s = None

    def __init__(self, pipe):
        self._pipe = pipe

    def run(self):
        with contextlib.suppress(EOFError, ConnectionError):
            while not isinstance(message := self._pipe.recv(), msg.Stop):
                self._pipe.send(message)


class Here:
    """In place of Serve's handle: a replica in a thread of this process."""

    def __init__(self, replica):
        self.replica, self.ended = replica, threading.Event()
        self.work = SimpleNamespace(remote=self._remote)

    def _remote(self, config, secret):
        told = queue.SimpleQueue()

        async def serve_it():
            async for item in self.replica.work(config, secret):
                told.put(item)

        def run():
            asyncio.run(serve_it())
            self.ended.set()

        threading.Thread(target=run, daemon=True).start()
        yield told.get(timeout=WAIT_S)


@pytest.fixture
def linked(monkeypatch, tmp_path):
    """The router's end of a pipe, the link at its other end, and what runs the replica."""
    from freeze_omni.server import replicas

    monkeypatch.setattr(replicas, "load_worker", lambda config, pipe: Echo(pipe))
    monkeypatch.setattr(replicas.Replica, "name", lambda self: "r1")
    monkeypatch.setattr(replicas.ray.util, "get_node_ip_address", lambda: "127.0.0.1")
    here, there = multiprocessing.Pipe()
    place = Here(replicas.Replica())
    link = replicas.Link(place, WorkerConfig(tmp_path), there)
    link.start()
    yield here, link, place
    link.kill()


def test_messages_go_through_a_link_both_ways_until_the_worker_is_stopped(linked):
    here, link, place = linked
    large = np.arange(300_000, dtype=np.int16)  # more than the buffers on the way
    for number in range(20):
        here.send(msg.Put(number, large))
    for number in range(20):
        assert here.poll(10)
        back = here.recv()
        assert back.key == number and np.array_equal(back.item, large)
    assert (link.replica, link.node) == ("r1", "127.0.0.1")
    here.send(msg.Stop())
    with pytest.raises(EOFError):
        here.recv()
    assert place.ended.wait(10), "the replica is free for another front"


def test_a_link_that_is_cut_is_an_end_for_both(linked):
    here, link, place = linked
    here.send(msg.Close("a"))
    assert here.poll(10) and here.recv().key == "a"
    link.kill()
    with pytest.raises(EOFError):
        here.recv()
    assert place.ended.wait(10)


def test_a_replica_serves_one_front_and_another_waits_until_it_is_free(linked, tmp_path, monkeypatch):
    from freeze_omni.server import replicas

    monkeypatch.setattr(replicas, "HEALTH_S", 0.05)
    here, link, place = linked
    here.send(msg.Close("a"))
    assert here.poll(10) and here.recv().key == "a"
    other, there = multiprocessing.Pipe()
    waiting = replicas.Link(place, WorkerConfig(tmp_path), there)
    waiting.start()
    other.send(msg.Close("b"))
    assert not other.poll(0.3) and not waiting.replica
    waiting.still_waits()
    link.still_waits()
    assert other.poll(1) and other.recv() == msg.Working(()) and not here.poll(0), "only the one that waits says so"
    here.send(msg.Stop())
    assert other.poll(10) and other.recv().key == "b"
    waiting.kill()


def test_a_replica_that_serve_does_not_name_any_more_is_leaving():
    from freeze_omni.server.replicas import Replicas

    replicas = Replicas(None)
    left, asked = [], {"is_alive": lambda: True, "still_waits": lambda: None}
    links = [
        SimpleNamespace(replica=name, leaving=False, kill=partial(left.append, name), join=lambda _: None, **asked)
        for name in ("r1", "r2", "")
    ]
    replicas._links = links
    replicas._mark(["r1", "r2"])
    assert not any(link.leaving for link in links)
    replicas._mark(["r2"])
    assert [link.leaving for link in links] == [True, False, False], "one that waits for a replica has none to lose"
    replicas.close()
    assert left == ["r1", "r2", ""] and not replicas._watcher.is_alive(), "nothing asks Ray when it is shut down"


def test_without_a_replica_the_router_is_told():
    from freeze_omni.server.replicas import Link

    class Never:
        cancelled = False

        def __next__(self):
            raise OSError("no cluster")

        def cancel(self):
            self.cancelled = True

    here, there = multiprocessing.Pipe()
    request = Never()
    work = SimpleNamespace(remote=lambda config, secret: request)
    link = Link(SimpleNamespace(work=work), WorkerConfig(Path("toy")), there)
    link.start()
    assert here.poll(10)
    with pytest.raises(EOFError):
        here.recv()
    link.join(10)
    assert request.cancelled, "Serve no longer looks for one"


def test_a_replica_is_unwell_while_its_worker_hangs():
    from freeze_omni.server.replicas import Replica

    replica = Replica()
    replica.check_health()  # no front has asked yet
    replica._hang_s = 5.0
    for ticked_s in (None, time.monotonic()):  # it still loads; it works
        replica._worker = SimpleNamespace(ticked_s=ticked_s)
        replica.check_health()
    replica._worker.ticked_s -= 6
    with pytest.raises(RuntimeError, match="nothing for 5 s"):
        replica.check_health()


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--ray_address", "127.0.0.1:1"], "no Ray cluster at 127.0.0.1:1.*ray start --head"),
        (["--devices", "cuda:0", "cuda:1"], "one kind of device"),
    ],
)
def test_what_ray_cannot_do_is_one_line(tmp_path, options, problem):
    config = toy_server(tmp_path, sessions=1)
    with pytest.raises(SystemExit, match=f"^serve: error: .*{problem}"):
        serve.main(["--engine", "ray", "--model", str(config.model), "--port", "0", *options])
