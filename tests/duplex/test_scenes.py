import numpy as np
import pytest

from freeze_omni.duplex.scenes import KINDS, SceneConfig, SceneMaker, babble_of, quietest
from tests.data.conftest import tone

LAST = {"complete": 1, "paused": 1, "cutoff": 0, "backchannel": 2, "noise": 2, "side": 2, "echo": 2, "wait": 3}


def two_words() -> np.ndarray:
    return np.concatenate([tone(0.5), np.zeros(1600, np.float32), tone(0.4)])


@pytest.mark.parametrize("kind", KINDS)
def test_a_scene_is_whole_chunks_with_a_label_for_each(kind: str) -> None:
    scene = SceneMaker(SceneConfig()).make(kind, two_words(), np.random.default_rng(1))
    assert len(scene.wav) == 2560 * len(scene.labels) and np.abs(scene.wav).max() <= 1
    assert [label for label in scene.labels if label >= 0][-1] == LAST[kind]
    assert set(scene.labels) <= {0, LAST[kind], -1}
    assert list(scene.labels) == sorted(scene.labels), "once decided, it stays so to the end"


def test_sound_lies_where_the_segment_says() -> None:
    config = SceneConfig(floor_db=(-80, -80))
    scene = SceneMaker(config).make("complete", two_words(), np.random.default_rng(2))
    (segment,) = scene.segments
    start, end = round(segment.start_s * 16000), round(segment.end_s * 16000)
    assert end - start == len(two_words())
    assert np.abs(scene.wav[:start]).max() < 1e-3 < 0.1 < np.abs(scene.wav[start:end]).max()
    assert np.abs(scene.wav[end:]).max() < 1e-3
    assert 0.5 - 1e-6 <= len(scene.wav) / 16000 - segment.end_s <= 1.2 + 0.16


def test_a_pause_is_silent_and_inside_the_turn() -> None:
    config = SceneConfig(floor_db=(-80, -80))
    scene = SceneMaker(config).make("paused", two_words(), np.random.default_rng(3))
    ((start_s, end_s),), (segment,) = scene.pauses, scene.segments
    assert segment.start_s < start_s < end_s < segment.end_s and 0.4 <= end_s - start_s <= 1.2
    assert np.abs(scene.wav[round(start_s * 16000) + 16 : round(end_s * 16000) - 16]).max() < 1e-3
    in_pause = scene.labels[int(start_s / 0.16) : int(end_s / 0.16) + 1]
    assert set(in_pause) == {0}


@pytest.mark.parametrize("kind", ["paused", "cutoff"])
def test_a_filler_is_said_in_the_pause(kind: str) -> None:
    config, filler = SceneConfig(floor_db=(-80, -80), before_filler_s=(0.3, 0.3)), tone(0.2)
    scene = SceneMaker(config).make(kind, two_words(), np.random.default_rng(3), filler=filler)
    without = SceneMaker(config).make(kind, two_words(), np.random.default_rng(3))
    assert {*scene.labels} == {*without.labels} and len(scene.segments) == 1
    (segment,) = scene.segments
    if kind == "cutoff":
        assert np.abs(scene.wav[round(segment.end_s * 16000) - len(filler) :]).max() > 0.1
        return
    (first, between), (after, second) = scene.pauses
    assert between - first == pytest.approx(0.3, abs=1e-3) and after - between == pytest.approx(0.2, abs=1e-3)
    assert segment.start_s < first < after < second < segment.end_s and 0.4 <= second - after <= 1.2
    assert np.abs(scene.wav[round(between * 16000) : round(after * 16000)]).max() > 0.1


def test_a_cut_off_turn_is_shorter_and_side_talk_quieter() -> None:
    rng = np.random.default_rng(4)
    maker = SceneMaker(SceneConfig())
    cut = maker.make("cutoff", two_words(), rng).segments[0]
    assert cut.end_s - cut.start_s < len(two_words()) / 16000
    quieter = SceneMaker(SceneConfig(side_db=(-24.0, -12.0))).make("side", two_words(), rng)
    assert np.abs(quieter.wav).max() < 0.2


def test_an_echo_is_a_stretch_of_the_systems_voice_and_quieter() -> None:
    config = SceneConfig(echo_s=(0.3, 0.5), echo_db=(-20.0, -20.0))
    scene = SceneMaker(config).make("echo", 0.5 * tone(3.0), np.random.default_rng(6))
    (segment,) = scene.segments
    assert 0.3 <= segment.end_s - segment.start_s <= 1.0 and segment.kind == "echo"
    loudest = np.abs(scene.wav).max()
    assert 0.01 < loudest < 0.1 * 0.5 * 3


def test_an_echo_comes_after_what_is_played() -> None:
    config = SceneConfig(echo_delay_s=(0.1, 0.1), floor_db=(-90, -90))
    scene = SceneMaker(config).make("echo", 0.5 * tone(3.0), np.random.default_rng(6))
    assert scene.played is not None and len(scene.played) == len(scene.wav)
    begins_s = np.flatnonzero(np.abs(scene.played) > 0.01)[0] / 16000
    assert begins_s == pytest.approx(scene.segments[0].start_s - 0.1, abs=0.01)


@pytest.mark.parametrize("comes_back", [0.0, 1.0])
def test_the_system_speaks_while_a_turn_is_said(comes_back: float) -> None:
    config, own = SceneConfig(own_echo=comes_back, floor_db=(-90, -90)), 0.5 * tone(8.0)
    alone, over = (
        SceneMaker(config).make("paused", two_words(), np.random.default_rng(7), own=voice) for voice in (None, own)
    )
    assert alone.played is None and over.played is not None and over.labels == alone.labels
    assert np.abs(over.played[:2560]).max() > 0.1 and np.abs(over.played[-2560:]).max() > 0.1
    ((start_s, end_s),) = over.pauses
    heard = np.abs(over.wav[round(start_s * 16000) + 800 : round(end_s * 16000) - 800]).max()
    assert (heard > 1e-3) == bool(comes_back)


def test_a_cut_falls_between_words() -> None:
    at = quietest(two_words(), 2000, 12000, 16000)
    assert 8000 <= at <= 9600


def test_a_scene_follows_its_seed_and_knows_its_kinds() -> None:
    maker = SceneMaker(SceneConfig())
    babble = babble_of([tone(1.0), two_words()], 16000, np.random.default_rng(0))
    one, two = (maker.make("noise", two_words(), np.random.default_rng(5), babble) for _ in "ab")
    assert np.array_equal(one.wav, two.wav) and one.labels == two.labels
    with pytest.raises(ValueError, match="scene kind 'song'"):
        maker.make("song", two_words(), np.random.default_rng(0))
