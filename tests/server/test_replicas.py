"""Replicas on two Ray nodes of this machine. A node that is killed: tests/benchmarks/test_scale.py."""

from __future__ import annotations

import asyncio
import time
from types import SimpleNamespace

import pytest

from benchmarks.load.server import running
from benchmarks.scale_ray import STORE_BYTES, cluster, toy_server
from freeze_omni.bin import serve
from freeze_omni.client.realtime import Realtime, ServerError

pytest.importorskip("ray", reason="Ray is not installed: pip install 'freeze_omni[ray]'")

WAIT_S = 120.0


async def until(true):
    async with asyncio.timeout(WAIT_S):
        while not true():
            await asyncio.sleep(0.05)


async def answered(talk):
    await talk.type("Hello")
    return (await talk.until("response.done"))[-1]["response"]["status"] in ("completed", "incomplete")


@pytest.mark.processes
def test_a_replica_that_serve_takes_away_ends_with_its_sessions(tmp_path):
    """A full replica sends clients to the other, then they are refused; on update each open session has its time."""
    from freeze_omni.server.replicas import deploy, deployed

    with cluster() as nodes:
        nodes.add_node(num_cpus=1, object_store_memory=STORE_BYTES)
        config = toy_server(tmp_path, sessions=1, close_s=WAIT_S)
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
