"""Sessions of a toy model on two Ray nodes of this machine, of which one is killed while all of them are answered.

`sessions_lost` is called by `benchmarks/scale.py`. Every session types turn after turn. After the loss each asks once
more: it is lost if its connection has ended, if that turn is not answered, or if the LLM has not read the session's
earlier turns before it.
"""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import os
import traceback
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from benchmarks.load.server import Served, running
from freeze_omni.client.realtime import Realtime, ServerError
from freeze_omni.engine.config import ServingConfig
from freeze_omni.pack import save
from freeze_omni.server.config import Limits, ServerConfig
from tests.toy import toy_system

NODES, SESSIONS = 2, 30
STORE_BYTES = 80_000_000  # of Ray's objects, of which there are none
WAIT_S = 120.0
LONGEST_S = 900.0


def apart[R](work: Callable[..., R], *arguments: Any) -> R:
    """The result of work(*arguments) in a process of its own, which ends with it, whatever Ray still waits for.

    Raises RuntimeError: it raised, ended, or took too long.
    """
    spawn = multiprocessing.get_context("spawn")
    receiving, sending = spawn.Pipe(duplex=False)
    process = spawn.Process(target=_tell, args=(sending, work, arguments))
    process.start()
    sending.close()
    try:
        if not receiving.poll(LONGEST_S):
            raise RuntimeError(f"{work.__name__} was not done after {LONGEST_S:.0f} s")
        done, found = receiving.recv()
    except EOFError:
        raise RuntimeError(f"{work.__name__}: its process has ended") from None
    finally:
        process.kill()
        process.join()
    if not done:
        raise RuntimeError(found)
    return found


def _tell(sending: Connection, work: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    try:
        sending.send((True, work(*arguments)))
    except BaseException:
        sending.send((False, traceback.format_exc()))
    finally:
        os._exit(0)


@contextlib.contextmanager
def cluster() -> Iterator[Any]:
    """Ray on this machine alone, as its first node; it ends with all its processes."""
    from ray.cluster_utils import Cluster

    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    small = {"num_cpus": 1, "object_store_memory": STORE_BYTES, "include_dashboard": False}
    made = Cluster(initialize_head=True, head_node_args=small)
    try:
        yield made
    finally:
        made.shutdown()


def toy_server(work: Path, sessions: int, **options: Any) -> ServerConfig:
    """A packed toy in `work`; a replica takes `sessions`."""
    if not (work / "pack").exists():
        save(toy_system(work / "llm"), work / "pack")
    serving = ServingConfig(max_sessions=sessions, late_ms=60_000, hang_s=60.0)
    return ServerConfig(work / "pack", port=0, limits=Limits(connections=0), serving=serving, **options)


def sessions_lost(work: Path, sessions: int = SESSIONS) -> int:
    """Raises RuntimeError if the node that was killed had no session, as nothing was measured then."""
    return apart(_sessions_lost, work, sessions)


def _sessions_lost(work: Path, sessions: int) -> int:
    from freeze_omni.server.replicas import deployed

    with cluster() as ray_nodes:
        doomed = ray_nodes.add_node(num_cpus=1, object_store_memory=STORE_BYTES)
        config = toy_server(work, sessions)
        with deployed(config, ray_nodes.address, count=NODES) as router:

            async def scenario() -> int:
                async with running(config, router) as served:
                    await _until(lambda: sum(handle.answers for handle in router.handles) == NODES)
                    return await _killed(served, sessions, lambda: ray_nodes.remove_node(doomed, allow_graceful=False))

            return asyncio.run(scenario())


async def _killed(served: Served, sessions: int, kill: Any) -> int:
    """How many of the sessions are lost by `kill`."""
    router, killed, asked = served.router, asyncio.Event(), asyncio.Semaphore(0)
    users = [asyncio.create_task(_user(served.url, asked, killed)) for _ in range(sessions)]
    for _ in users:  # each has been answered once, or has ended
        await asyncio.wait_for(asked.acquire(), WAIT_S)
    at_work = {handle.place: len(handle.clients) for handle in router.handles}
    await asyncio.to_thread(kill)
    await _until(lambda: router.lost_workers > 0)
    killed.set()
    kept = await asyncio.gather(*users)
    if not all(at_work.values()) or len(at_work) != NODES:
        raise RuntimeError(f"the sessions were not shared by the nodes: {at_work}")
    return sessions - sum(kept)


async def _user(url: str, asked: asyncio.Semaphore, killed: asyncio.Event) -> bool:
    """Whether the session has gone on with its dialogue after the loss."""
    try:
        async with Realtime(url) as talk:
            first = await _turn(talk)
            asked.release()
            while not killed.is_set():
                await _turn(talk)
            last = await _turn(talk)
            return last["status"] in ("completed", "incomplete") and _read_before(last) > _read_before(first)
    except ServerError:
        asked.release()
        return False


async def _turn(talk: Realtime) -> dict[str, Any]:
    """Type a turn; its response, when it has ended. Raises ServerError for an error other than a lost worker."""
    await talk.type("What is the capital of France?")
    async with asyncio.timeout(WAIT_S):
        async for event in talk.events():
            if event["type"] == "response.done":
                return event["response"]
            if event["type"] == "error" and event["error"]["code"] != "worker_lost":
                raise ServerError(event["error"]["message"], event["error"]["code"])
    raise ServerError("the session has ended")


def _read_before(response: dict[str, Any]) -> int:
    """Positions of the LLM that it had read before this turn: the system prompt, and earlier turns."""
    return response["usage"]["input_token_details"]["cached_tokens"]


async def _until(true: Any) -> None:
    """Raises TimeoutError."""
    async with asyncio.timeout(WAIT_S):
        while not true():
            await asyncio.sleep(0.05)
