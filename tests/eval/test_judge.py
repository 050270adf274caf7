"""Joining clips and giving words back, without a recogniser."""

import numpy as np
import pytest

from freeze_omni.data.audio import write_wav
from freeze_omni.data.parts import LeftToOthers, Part
from freeze_omni.data.tables import write_table
from freeze_omni.eval import judge
from freeze_omni.eval.config import JudgeConfig
from freeze_omni.eval.judge import RATE_HZ, Judge, Placed, Word, assign, windows

CONFIG = JudgeConfig(window_s=10.0, gap_s=0.6)
PLACED = [Placed("a", 0.2, 1.2, False), Placed("b", 1.8, 3.8, False)]


def clip(seconds, level=0.1):
    return np.full(int(seconds * RATE_HZ), level, dtype=np.float32)


def test_clips_fill_windows_in_order_and_keep_their_places():
    clips = {"a": clip(4), "b": clip(4), "c": clip(12), "d": clip(1)}
    joined = windows(clips, CONFIG)
    assert [[place.key for place in placed] for _, placed in joined] == [["a", "b"], ["c"], ["d"]]
    audio, (first, second) = joined[0]
    assert second.start_s - first.end_s == pytest.approx(0.6)
    assert len(audio) / RATE_HZ == pytest.approx(second.end_s + 0.6)
    middle = int((first.end_s + 0.3) * RATE_HZ)
    assert audio[middle] == 0 and audio[int(first.start_s * RATE_HZ) + 5] > 0


def test_clips_come_to_one_loudness_and_silence_stays_silent():
    audio, placed = windows({"loud": clip(1, 0.5), "quiet": clip(1, 0.01), "none": clip(1, 0)}, CONFIG)[0]
    levels = [audio[int(place.start_s * RATE_HZ) + 5] for place in placed]
    assert levels[0] == pytest.approx(levels[1]) and levels[2] == 0
    assert [place.silent for place in placed] == [False, False, True]


def test_words_go_to_the_clip_that_holds_their_middle():
    words = [Word(" Hello", 0.2, 0.6), Word(" there.", 0.7, 1.25), Word(" Yes.", 2.0, 3.0)]
    assert assign(words, PLACED, CONFIG) == ({"a": "Hello there.", "b": "Yes."}, [])


@pytest.mark.parametrize(
    ("words", "doubtful"),
    [
        ([Word(" on", 0.5, 2.4), Word(" b", 2.5, 3.0)], ["a", "b"]),  # reaches into both
        ([Word(" on", 0.5, 1.0)], ["b"]),  # nothing for b
        ([Word(" a", 0.5, 1.0), Word(" b", 2, 3), Word(" c", 9, 9.5)], ["b"]),  # far after all
        ([Word(" a", 0.5, 1.0), *[Word(" b", 2 + i / 20, 2 + i / 20) for i in range(30)]], ["b"]),
    ],
)
def test_what_is_in_doubt_is_named(words, doubtful):
    assert assign(words, PLACED, CONFIG)[1] == doubtful


def test_doubtful_clips_are_decoded_alone_and_silent_ones_not_at_all():
    judge = Judge.__new__(Judge)
    judge.config = CONFIG
    judge.words = lambda audio: [Word(" one", 0.3, 0.8)]
    judge._alone = lambda audio: f"alone {len(audio) / RATE_HZ:g}"
    clips = {"a": clip(1), "b": clip(2), "c": clip(11), "d": clip(3, 0)}
    texts = judge.transcribe(clips)
    assert (texts["a"], texts["b"], texts["d"]) == ("one", "alone 2", "")
    assert texts["c"].startswith("alone")


def test_a_folder_without_a_model_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="no model.bin"):
        Judge(tmp_path)


def test_jobs_of_an_array_hear_the_same_groups(tmp_path, monkeypatch):
    """What a clip is heard as may depend on those that share its window: groups are those of one job."""
    groups = []

    class Hears:
        def __init__(self, model_dir, config, device):
            assert device == "cpu"

        def transcribe(self, clips):
            groups.append(sorted(clips))
            return {key: f"{key} of {len(clips)}" for key in clips}

    monkeypatch.setattr(judge, "Judge", Hears)
    monkeypatch.setattr(judge, "_GROUP", 2)
    judge._load.cache_clear()
    for name in ("one", "more"):
        for key in "abcde":
            write_wav(tmp_path / name / f"{key}.wav", clip(0.1), RATE_HZ)
        write_table(tmp_path / name / "wav.scp", {key: tmp_path / name / f"{key}.wav" for key in "abcde"})
    whole = judge.judged_texts(tmp_path / "one", tmp_path / "whisper", CONFIG)
    alone, groups[:] = list(groups), []
    with pytest.raises(LeftToOthers, match="what the judge hears"):
        judge.judged_texts(tmp_path / "more", tmp_path / "whisper", CONFIG, part=Part(2, 2))
    assert judge.judged_texts(tmp_path / "more", tmp_path / "whisper", CONFIG, part=Part(1, 2)) == whole
    assert sorted(groups) == sorted(alone) == [["a", "b"], ["c", "d"], ["e"]]
    assert judge.judged_texts(tmp_path / "more", tmp_path / "whisper", CONFIG) == whole and len(groups) == 3
    texts = [(tmp_path / name / "judge/records.jsonl").read_text() for name in ("one", "more")]
    assert texts[0] == texts[1]
    judge._load.cache_clear()
