"""Users who speak, with clients that leave, send nonsense, flood or stall, workers that are killed or hang, and a disk
that is full for recordings."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import random
import resource
import signal
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.load import bad_clients
from benchmarks.load.good_user import Told, converse
from benchmarks.load.markers import choose, foreign
from benchmarks.load.material import Spoken
from benchmarks.load.server import Served, serving
from freeze_omni.client.realtime import ServerError
from freeze_omni.server.config import Limits
from freeze_omni.server.router import WorkerHandle

AGAIN_S = 0.5
LIMITS = Limits(message_bytes=200_000, messages_s=100, idle_s=20, connections=12)
RECORDING_BYTES = 200_000
"""Of a session's recording the disk takes no more: some seconds of speech."""


@dataclass(frozen=True)
class FaultConfig:
    """Of the run.

    Attributes:
        minutes: it lasts. turns: of a session of a good user. paced: they speak at the pace of speech.
        bad: number of bad clients at a time. patience_s: the longest that one of them stays.
        kills_s: from one harm to a worker to the next, at least and at most. stuck_s: a session without its
            answers after so long is stuck.
    """

    minutes: float = 30.0
    turns: int = 2
    paced: bool = True
    bad: int = 3
    patience_s: float = 15.0
    kills_s: tuple[float, float] = (20.0, 60.0)
    stuck_s: float = 120.0
    seed: int = 0


def harm_process(handle: WorkerHandle, rng: random.Random) -> str:
    """kill -9, or a stop that leaves it hanging; says which."""
    if rng.random() < 0.5:
        handle.body.kill()
        return "kills"
    os.kill(handle.body.pid, signal.SIGSTOP)
    return "hangs"


async def fill_disk(served: Served, most_bytes: int) -> None:
    """Until cancelled: in every worker a write that makes a file longer fails, as on a full disk. Ours go on."""
    while True:
        for handle in served.router.handles:
            with contextlib.suppress(ProcessLookupError):
                resource.prlimit(handle.body.pid, resource.RLIMIT_FSIZE, (most_bytes, most_bytes))
        await asyncio.sleep(0.2)


async def measure(model: Path, spoken: Sequence[Spoken], config: FaultConfig) -> dict[str, Any]:
    """One good user for each question, two workers, which record. See `run`."""
    room = len(spoken) + 2 * LIMITS.connections
    with tempfile.TemporaryDirectory() as folder:
        async with serving(model, LIMITS, workers=2, max_sessions=room, record=Path(folder)) as served:
            full_disk = asyncio.create_task(fill_disk(served, RECORDING_BYTES))
            found = await run(served, spoken, config)
            full_disk.cancel()
        full = sum(path.stat().st_size > 0.9 * RECORDING_BYTES for path in Path(folder).iterdir())
    return {**found, "recordings_cut": full}


async def run(
    served: Served,
    spoken: Sequence[Spoken],
    config: FaultConfig,
    harm: Callable[[WorkerHandle, random.Random], str] = harm_process,
) -> dict[str, Any]:
    """Every question is asked alone, then all at once with the faults, then alone again.

    crashes: the server, or a worker that nobody has killed, went down. stuck: sessions without their answers, or
    that the server still holds when all have left. cross_talk: sessions that sent a user the marker of another, a
    word of that one's question; cross_talk_told: what these were, as a model that hears half a question may guess
    such a word. other_answers: sessions that answered other than alone. stalled_client_cost: the
    users' time to an answer next to a client that asks on and takes nothing, over that next to one that takes it all.
    Raises ValueError if a question has no word that the others lack.
    """
    lost_before = served.router.lost_workers
    alone = [await _insist(served.url, one, config) for one in spoken]
    markers = choose([one.text for one in spoken], [told.words for told in alone])
    cost = await _stalled_cost(served.url, spoken, config)
    crowd = _Crowd(served, spoken, config, alone, [*markers, bad_clients.MARKER])
    await crowd.run(harm)
    alive = served.thread.is_alive()
    again = [await _insist(served.url, one, config) for one in spoken] if alive else []
    left = await _sessions_left(served, config.stuck_s)
    seen = crowd.seen
    return {
        "fault_minutes": round(config.minutes, 2),
        "crashes": served.router.lost_workers - lost_before - seen["kills"] - seen["hangs"] + (not alive),
        "cross_talk": seen["cross_talk"],
        "cross_talk_told": crowd.told,
        "other_answers": seen["other_answers"],
        "stuck": seen["stuck"] + left,
        "good_turns": seen["good_turns"],
        "good_sessions": seen["good_sessions"],
        "rebuilt_sessions": seen["rebuilt"],
        "refused": seen["refused"],
        "ended_sessions": seen["ended"],
        "kills": seen["kills"],
        "hangs": seen["hangs"],
        "same_answers_after": [told.answers for told in again] == [told.answers for told in alone],
        "markers": markers,
        "markers_heard": sum(marker in told.words for marker, told in zip(markers, alone, strict=True)),
        "bad_clients": {kind.__name__: seen[kind.__name__] for kind in bad_clients.KINDS},
        "stalled_client_cost": cost,
    }


class _Crowd:
    """All at once."""

    def __init__(
        self,
        served: Served,
        spoken: Sequence[Spoken],
        config: FaultConfig,
        alone: Sequence[Told],
        markers: Sequence[str],
    ) -> None:
        self._served, self._spoken, self._config = served, spoken, config
        self._alone, self._markers = alone, markers
        self._rng, self.seen = random.Random(config.seed), Counter()
        self.told: list[dict[str, Any]] = []  # of sessions with a marker of others
        self._kinds = itertools.cycle(self._rng.sample(bad_clients.KINDS, len(bad_clients.KINDS)))
        self._end_s = time.monotonic() + 60 * config.minutes

    async def run(self, harm: Callable[[WorkerHandle, random.Random], str]) -> None:
        good = (self._good(number) for number in range(len(self._spoken)))
        bad = (self._bad(random.Random(self._rng.random())) for _ in range(self._config.bad))
        await asyncio.gather(*good, *bad, self._harms(harm))

    async def _good(self, number: int) -> None:
        config = self._config
        while time.monotonic() < self._end_s:
            try:
                async with asyncio.timeout(config.stuck_s):
                    told = await converse(self._served.url, self._spoken[number], config.turns, config.paced)
            except ServerError as error:  # full, late, no worker is ready; or two harmed workers were this session's
                self.seen["ended" if "workers were lost" in str(error) else "refused"] += 1
                await asyncio.sleep(AGAIN_S)
            except TimeoutError:
                self.seen["stuck"] += 1
            else:
                self._judge(number, told)

    def _judge(self, number: int, told: Told) -> None:
        self.seen["good_sessions"] += 1
        self.seen["good_turns"] += told.turns
        self.seen["rebuilt"] += told.rebuilt
        if foreign(told.words, self._markers, number):
            self.seen["cross_talk"] += 1
            self.told.append({"asked": self._spoken[number].text, "words": told.words, "rebuilt": told.rebuilt})
        self.seen["other_answers"] += told.answers != self._alone[number].answers[: len(told.answers)]

    async def _bad(self, rng: random.Random) -> None:
        while time.monotonic() < self._end_s:
            kind = next(self._kinds)
            await bad_clients.spoil(self._served.url, kind, rng, self._config.patience_s)
            self.seen[kind.__name__] += 1
            await asyncio.sleep(rng.uniform(0, 0.3))

    async def _harms(self, harm: Callable[[WorkerHandle, random.Random], str]) -> None:
        """Now and then, and not at the end, so that what comes of it is seen."""
        least, most = self._config.kills_s
        while (wait_s := self._rng.uniform(least, most)) < self._end_s - time.monotonic() - least:
            await asyncio.sleep(wait_s)
            working = [handle for handle in self._served.router.handles if handle.answers]
            if working:
                self.seen[harm(self._rng.choice(working), self._rng)] += 1


async def _insist(url: str, spoken: Spoken, config: FaultConfig) -> Told:
    """Try again while the server has no room. Raises TimeoutError if that does not help."""
    async with asyncio.timeout(config.stuck_s):
        while True:
            try:
                return await converse(url, spoken, config.turns, config.paced)
            except ServerError:
                await asyncio.sleep(AGAIN_S)


async def _stalled_cost(url: str, spoken: Sequence[Spoken], config: FaultConfig) -> float:
    async def next_to(other: bad_clients.Fault) -> float:
        asking = asyncio.create_task(bad_clients.spoil(url, other, random.Random(config.seed), config.stuck_s))
        told = await asyncio.gather(*(_insist(url, one, config) for one in spoken))
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        return statistics.median(second for one in told for second in one.seconds)

    takes_all = await next_to(bad_clients.asks_on)
    return round(await next_to(bad_clients.stalls) / takes_all, 2)


async def _sessions_left(served: Served, patience_s: float) -> int:
    end_s = time.monotonic() + patience_s
    while served.router.sessions and time.monotonic() < end_s:
        await asyncio.sleep(0.1)
    return served.router.sessions
