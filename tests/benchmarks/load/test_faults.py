"""A run with faults on a toy whose workers are threads; and that it sees what it is there to see."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import subprocess
import sys
import threading
from dataclasses import replace
from types import SimpleNamespace

import pytest

from benchmarks.load import faults, material
from benchmarks.load.good_user import Told, converse
from benchmarks.load.server import Served
from freeze_omni.data.tables import TableError, write_table
from freeze_omni.engine.worker import Stop
from freeze_omni.llm.generate import GenerationConfig
from freeze_omni.session.log import Recorder
from freeze_omni.session.session import SessionConfig
from tests.server.rig import serving
from tests.toy import toy_system

SPOKEN = [
    material.Spoken(sound[::6], text)
    for sound, text in zip(material.sounds(None, 2), ("Where is the walrus?", "Who wrote Hamlet?"), strict=True)
]
CONFIG = faults.FaultConfig(0.02, turns=1, paced=False, bad=11, patience_s=0.3, kills_s=(0.4, 0.5), stuck_s=30)
pytestmark = [
    pytest.mark.servers,
    pytest.mark.filterwarnings("error::pytest.PytestUnhandledThreadExceptionWarning"),
]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("toy") / "llm"
    return toy_system(folder, generation=GenerationConfig(max_new_tokens=3))


@pytest.fixture(scope="module")
def served(model):
    with serving(model, workers=2, limits=faults.LIMITS, max_sessions=12) as (place, router):
        yield Served(f"ws://{place}", router, threading.current_thread())


def kill(handle, rng=None):
    """A thread is not killed, but it goes unasked: the front is told as little."""
    handle.outbox.put(Stop())
    return "kills"


def test_users_are_answered_beside_bad_clients_and_lost_workers(served):
    found = asyncio.run(faults.run(served, SPOKEN, CONFIG, kill))
    assert found["crashes"] == found["cross_talk"] == found["stuck"] == found["other_answers"] == 0
    assert found["same_answers_after"] and found["kills"] and found["good_turns"]
    assert all(found["bad_clients"].values()) and found["stalled_client_cost"] > 0
    assert found["markers"] == ["walrus", "hamlet"] and found["fault_minutes"] == 0.02


def test_a_worker_that_nobody_has_killed_is_a_crash(served):
    async def with_crash():
        running = asyncio.create_task(faults.run(served, SPOKEN[:1], replace(CONFIG, minutes=0.0, bad=0), kill))
        while not any(handle.clients for handle in served.router.handles):
            await asyncio.sleep(0.01)
        kill(next(handle for handle in served.router.handles if handle.clients))
        return await running

    assert asyncio.run(with_crash())["crashes"] == 1


def test_a_session_goes_on_when_its_worker_is_lost(served):
    async def lose():
        asking = asyncio.create_task(converse(served.url, SPOKEN[0], turns=2, paced=False))
        while not any(handle.clients for handle in served.router.handles):
            await asyncio.sleep(0.01)
        kill(next(handle for handle in served.router.handles if handle.clients))
        return await asking

    told = asyncio.run(lose())
    assert told.rebuilt and told.turns == 2 and len(told.answers) < 2


def test_the_disk_is_full_for_the_workers_alone(tmp_path):
    write = f"import sys; sys.stdin.readline(); open({str(tmp_path / 'log')!r}, 'wb', 0).write(bytes(200))"
    worker = subprocess.Popen([sys.executable, "-c", write], stdin=subprocess.PIPE, text=True)
    served = SimpleNamespace(router=SimpleNamespace(handles=[SimpleNamespace(body=worker)]))

    async def for_a_while():
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(faults.fill_disk(served, 100), 0.5)

    asyncio.run(for_a_while())
    worker.communicate("go on\n")
    assert (tmp_path / "log").stat().st_size == 100, "what fits is written"
    (tmp_path / "longer").write_bytes(bytes(200))


def test_a_recording_on_a_full_disk_ends_with_what_fits(tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    try:
        file = (tmp_path / "log").open("w")
        recorder = Recorder(file, SessionConfig())
        recorder.close()
        assert (tmp_path / "log").stat().st_size == 100 and file.closed
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_words_of_others_and_other_answers_are_counted():
    alone = [Told(answers=["completed: a"]), Told(answers=["completed: b"])]
    crowd = faults._Crowd(None, SPOKEN, CONFIG, alone, ["walrus", "hamlet", "kaleidoscope"])
    crowd._judge(0, Told(answers=["completed: a"], words="where is the walrus", turns=1))
    assert not crowd.seen["cross_talk"] and not crowd.seen["other_answers"]
    crowd._judge(0, Told(answers=["completed: b"], words="who wrote hamlet", turns=1))
    crowd._judge(1, Told(words="the kaleidoscope", turns=1, rebuilt=True))
    assert [one["rebuilt"] for one in crowd.told] == [False, True] and crowd.told[0]["words"] == "who wrote hamlet"
    assert crowd.seen["cross_talk"] == 2 and crowd.seen["other_answers"] == 1
    assert crowd.seen["good_turns"] == 3 and crowd.seen["rebuilt"] == 1


def test_spoken_questions_come_from_a_data_directory(tmp_path):
    import soundfile

    names = ("a", "b", "c")
    for name in names:
        soundfile.write(tmp_path / f"{name}.wav", 0.1 * SPOKEN[0].sound, 24000)
    write_table(tmp_path / "wav.scp", {name: tmp_path / f"{name}.wav" for name in names})
    write_table(tmp_path / "text", {"a": "Where?", "b": "", "c": "Who?"})
    assert [one.text for one in material.spoken(tmp_path, 2)] == ["Where?", "Who?"]
    assert len(material.spoken(tmp_path / "wav.scp", 1)[0].sound) == len(SPOKEN[0].sound)
    with pytest.raises(TableError, match="2 different questions"):
        material.spoken(tmp_path, 3)
