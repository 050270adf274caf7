"""Workers that die, hang or take nothing, with scripted workers: the others and the front go on."""

from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path

import pytest

from freeze_omni.engine import worker as msg
from freeze_omni.engine.config import ServingConfig
from freeze_omni.engine.worker import WorkerConfig
from freeze_omni.rates import Rates
from freeze_omni.server.outbox import Outbox
from freeze_omni.server.router import Full, Router, Unready
from freeze_omni.session import events as ev
from freeze_omni.session.session import SessionConfig

pytestmark = pytest.mark.servers

LOST_S = 10.0


class User:
    """A client of the router: what its worker has `heard` comes back to it."""

    def __init__(self, key):
        self.key, self.heard, self.fault, self.losses = key, [], "", 0

    def did(self, outputs):
        self.heard += outputs

    def failed(self, reason):
        self.fault = reason

    def lost(self):
        self.losses += 1
        return SessionConfig(), [ev.TextInput("again")]


def worker(config, pipe, reports=True):
    """Says back what it is told. `die` ends it and `hang` stops it, both as the work of that session."""
    pipe.send(msg.Ready(8, Rates(), {}))
    while True:
        if not pipe.poll(0.05):
            if reports:
                pipe.send(msg.Measured(None))
            continue
        match pipe.recv():
            case msg.Stop():
                break
            case msg.Put(key, ev.TextInput(text)):
                if text in ("die", "hang"):
                    pipe.send(msg.Working((key,)))
                    if text == "hang":
                        pipe.poll(LOST_S)
                        threading.Event().wait(LOST_S)
                    break
                pipe.send(msg.Did(key, [text]))
    pipe.close()


def in_thread(config, pipe, work=worker):
    thread = threading.Thread(target=work, args=(config, pipe), daemon=True)
    thread.start()
    return thread


def router_of(count=1, start=in_thread, hang_s=3.0, **serving):
    config = WorkerConfig(Path("toy"), ServingConfig(**serving))
    object.__setattr__(config.serving, "hang_s", hang_s)
    return Router([config] * count, start)


async def until(true, limit_s=8.0):
    end_s = time.monotonic() + limit_s
    while not true():
        assert time.monotonic() < end_s, "it does not come true"
        await asyncio.sleep(0.01)


async def opened(router, *keys):
    await router.open()
    await until(lambda: len(router.handles) == sum(handle.answers for handle in router.handles))
    return await admitted(router, *keys)


async def admitted(router, *keys):
    users = [User(key) for key in keys]
    for user in users:
        router.admit(user, SessionConfig())
        router.put(user, ev.TextInput("hello"))
    await until(lambda: all(user.heard for user in users))
    return users


def run(scenario):
    asyncio.run(asyncio.wait_for(scenario, 30))


def test_a_worker_that_hangs_is_left_and_its_sessions_go_on():
    async def scenario():
        router = router_of(hang_s=0.5)
        one, other = await opened(router, "one", "other")
        router.put(one, ev.TextInput("hang"))
        await until(lambda: one.losses == other.losses == 1 and one.heard[-1] == other.heard[-1] == "again")
        assert router.lost_workers == 1 and not one.fault and not other.fault
        await router.close()

    run(scenario())


def test_a_worker_that_says_nothing_takes_no_new_sessions():
    async def scenario():
        router = router_of(start=lambda config, pipe: in_thread(config, pipe, lambda *at: worker(*at, reports=False)))
        await router.open()
        object.__setattr__(router.handles[0].config.serving, "hang_s", 0.4)
        await asyncio.sleep(0.25)
        assert not router.handles[0].answers
        with pytest.raises(Full, match="no worker is ready"):
            router.admit(User("one"), SessionConfig())
        await router.close()

    run(scenario())


@pytest.mark.parametrize("how", ["die", "hang"])
def test_a_session_that_loses_two_workers_is_ended_and_the_others_are_not(how):
    async def scenario():
        router = router_of(hang_s=0.5)
        bad, good = await opened(router, "bad", "good")
        for losses in (1, 2):
            await until(lambda losses=losses: good.losses == losses - 1 and len(good.heard) == losses)
            router.put(bad, ev.TextInput(how))
            await until(lambda losses=losses: good.losses == losses)
        await until(lambda: good.heard[-1] == "again" and len(good.heard) == 3)
        assert "two workers" in bad.fault and not good.fault and bad.losses == 1
        await router.close()

    run(scenario())


def test_who_waited_while_another_lost_two_workers_is_not_suspected():
    async def scenario():
        router = router_of()
        bad, good = await opened(router, "bad", "good")
        router.put(bad, ev.TextInput("die"))
        await until(lambda: len(good.heard) == 2)
        router.put(good, ev.TextInput("die"))  # its first
        await until(lambda: len(good.heard) == 3)
        assert not bad.fault and not good.fault
        await router.close()

    run(scenario())


def test_a_worker_that_is_taken_away_serves_its_sessions_to_their_end_and_gets_no_more():
    async def scenario():
        router = router_of(count=2)
        first, second = await opened(router, "first", "second")
        old = next(handle for handle in router.handles if first.key in handle.clients)
        old.body.leaving = True
        (third,) = await admitted(router, "third")
        assert third.key not in old.clients and router.up and not router.unready and router.limit == 8
        router.put(first, ev.TextInput("more"))
        await until(lambda: first.heard[-1] == "more")
        router.release(first)
        await until(lambda: old not in router.handles and sum(handle.answers for handle in router.handles) == 2)
        assert router.lost_workers == 0 and not second.losses and not first.fault
        await router.close()

    run(scenario())


def test_sessions_that_a_worker_has_left_after_its_time_go_on_in_another():
    async def scenario():
        router = router_of(count=2)
        (user,) = await opened(router, "user")
        old = next(handle for handle in router.handles if user.key in handle.clients)
        old.body.leaving = True
        old.outbox.put(msg.Stop())
        await until(lambda: user.losses == 1 and user.heard[-1] == "again")
        assert router.lost_workers == 1
        await router.close()

    run(scenario())


def test_a_flood_fills_its_own_share_of_what_waits_for_a_worker():
    outbox = Outbox(each=3)
    assert [outbox.put(number, "flood") for number in range(5)] == [True, True, True, False, False]
    assert outbox.put("other", "user") and outbox.put("stop")
    assert [outbox.get() for _ in range(5)] == [0, 1, 2, "other", "stop"]
    assert outbox.put(5, "flood"), "there is room again"


def test_one_client_is_told_that_its_worker_takes_no_more_and_the_others_are_served():
    async def scenario():
        router = router_of(max_waiting_events=50)
        flood, user = await opened(router, "flood", "user")
        taken = threading.Event()
        router.handles[0].pipe = Stuck(router.handles[0].pipe, taken)
        with pytest.raises(Full, match="no more messages of this session"):
            for _ in range(100):
                router.put(flood, ev.TextInput("x"))
        router.put(user, ev.TextInput("y"))
        router.release(flood)
        taken.set()
        await until(lambda: user.heard[-1] == "y")
        await router.close()

    run(scenario())


class Stuck:
    """A pipe into which nothing goes for a while."""

    def __init__(self, pipe, taken):
        self.recv, self._pipe, self._taken = pipe.recv, pipe, taken

    def send(self, message):
        self._taken.wait(5)
        self._pipe.send(message)


def test_a_session_that_cannot_go_on_does_not_keep_the_others_from_it():
    async def scenario():
        router = router_of()
        broken, user = await opened(router, "broken", "user")
        broken.lost = lambda: 1 / 0
        router.put(broken, ev.TextInput("die"))
        await until(lambda: user.losses == 1 and user.heard[-1] == "again")
        assert broken.fault
        await router.close()

    run(scenario())


def test_a_worker_is_started_without_holding_up_the_event_loop():
    def slow(config, pipe):
        time.sleep(0.5)
        return in_thread(config, pipe)

    async def scenario():
        router, late_s = router_of(start=slow), [0.0]

        async def tick():
            while True:
                begin_s = time.monotonic()
                await asyncio.sleep(0.01)
                late_s.append(time.monotonic() - begin_s)

        ticking = asyncio.create_task(tick())
        (user,) = await opened(router, "user")
        router.put(user, ev.TextInput("die"))
        await until(lambda: user.losses == 1)
        ticking.cancel()
        assert max(late_s) < 0.3
        await router.close()

    run(scenario())


def test_a_worker_that_cannot_be_started_is_tried_again_and_then_given_up(monkeypatch):
    tried = []

    def none(config, pipe):
        tried.append(config)
        raise OSError("no memory")

    async def scenario():
        with pytest.raises(Unready, match="no memory"):
            await router_of(start=none).open()

    monkeypatch.setattr("freeze_omni.server.router.RESTARTS", 1)
    run(scenario())
    assert len(tried) == 2


def test_closing_does_not_wait_for_a_worker_that_hangs(monkeypatch):
    async def scenario():
        router = router_of()
        (user,) = await opened(router, "user")
        router.put(user, ev.TextInput("hang"))
        monkeypatch.setattr(router.handles[0].body, "join", lambda wait_s: time.sleep(0.1))
        await asyncio.wait_for(router.close(), 2)

    run(scenario())
