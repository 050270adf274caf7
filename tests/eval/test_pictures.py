"""Pictures of decoding folders: the latency's parts, originals and copies; none without data."""

import json

import numpy as np
import pytest
import soundfile

from freeze_omni.eval.pictures import PARTS, latency_waterfall, parts_ms, spectrogram_db, spectrogram_pairs
from tests.data.corpora.clips import clip

MARKS = {"asked": 2.2, "token": 2.3, "segment": 2.5, "prefill": 2.51, "tokens": 2.7, "audio": 2.72, "done": 5.0}


def test_the_parts_of_a_bar_add_up_to_the_first_audio():
    parts = parts_ms({"marks": MARKS, "question_end_s": 2.0})
    assert parts == pytest.approx([200, 300, 10, 190, 20]) and len(parts) == len(PARTS)
    early = parts_ms({"marks": MARKS, "question_end_s": 2.4})
    assert early[0] == 0.0


def test_a_waterfall_is_drawn_of_answered_questions(tmp_path):
    rows = [{"id": key, "marks": MARKS, "question_end_s": 2.0 + i / 10} for i, key in enumerate("abc")]
    rows.append({"id": "d", "marks": {"asked": 1.0}, "question_end_s": 1.0})
    (tmp_path / "records.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    ((title, path),) = latency_waterfall(tmp_path, tmp_path / "out")
    assert title.startswith("Latency") and path.stat().st_size > 3000
    assert latency_waterfall(tmp_path / "none", tmp_path) == []


def test_a_tone_is_where_it_belongs():
    hz, tone = 16000, 1000
    level = spectrogram_db(np.sin(2 * np.pi * tone * np.arange(hz) / hz), hz)
    loudest = level.mean(axis=1).argmax() * hz / 2 / (len(level) - 1)
    assert abs(loudest - tone) < 40 and level.max() == 0 and level.min() >= -80


def test_pairs_of_spectrograms(tmp_path):
    for name in ("original", "copy"):
        (tmp_path / name).mkdir()
        wavs = [clip(i).write(tmp_path / name / f"{i}.wav", 24000) for i in range(3)]
        (tmp_path / name / "wav.scp").write_text("".join(f"u{i} {wav}\n" for i, wav in enumerate(wavs)))
    ((_, path),) = spectrogram_pairs(tmp_path, tmp_path / "out")
    assert soundfile.info(tmp_path / "copy/0.wav").frames and path.stat().st_size > 20000
    assert spectrogram_pairs(tmp_path / "none", tmp_path) == []
