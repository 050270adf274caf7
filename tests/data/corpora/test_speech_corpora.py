"""Readers of speech corpora on miniatures of the published layouts: sets, ids, texts; broken places; resuming."""

from __future__ import annotations

import shutil
import warnings
from pathlib import Path

import pytest

from freeze_omni.bin import prepare_corpus
from freeze_omni.data.audio import read_audio
from freeze_omni.data.datadir import validate
from freeze_omni.data.tables import read_table
from tests.commands import exit_code
from tests.data.corpora import speech_miniatures as miniatures
from tests.data.corpora.clips import clip

# corpus: (options, sets with utterances, an utterance, its text)
CORPORA = {
    "an4": (
        ["--dev", "2", "--case", "lower"],
        {"train_nodev": 3, "train_dev": 2, "test": 2},
        ("train_dev", "fash-an251-b", "yes"),
    ),
    "librispeech": (
        ["--case", "lower"],
        {"train_clean_100": 6, "dev_clean": 2, "dev_other": 2, "test_clean": 2, "test_other": 2},
        ("train_clean_100", "100-1-0001", clip(1).words.lower()),
    ),
    "libritts": (
        [],
        {"train_clean_100": 2, "dev_clean": 2, "test_clean": 2},
        ("dev_clean", "101_7_000001_000000", clip(1).words.capitalize() + "."),
    ),
    "aishell": ([], {"train": 4, "dev": 2, "test": 2}, ("train", "BAC009S0002W0122", "".join(clip(3).signs))),
    "wenetspeech": (
        [],
        {"train_l": 14, "dev": 7, "test_net": 7, "test_meeting": 7},
        ("train_l", "Y0000000001_train_S00003", "".join(clip(3).signs)),
    ),
    "gigaspeech": (
        ["--case", "lower", "--punctuation", "true"],
        {"train_xl": 7, "dev": 7, "test": 7},
        ("dev", "YOU0000000315_S0000000", f"{clip(0).words}, {clip(0).words}?".lower()),
    ),
    "commonvoice": (
        [],
        {"train_en": 3, "dev_en": 3, "test_en": 3},
        ("dev_en", "1010101010101010-common_voice_en_100", f'"{clip(1).words.capitalize()}", she said.'),
    ),
    "from_hf": ([], {"train": 2, "validation": 2, "test": 2}, ("test", "9-00000001", clip(3).words.lower())),
    "ljspeech": (
        ["--held_out", "1"],
        {"tr_no_dev": 4, "dev": 1, "eval1": 1},
        ("dev", "LJ-LJ001-0005", f"{clip(4).words.lower()} number 4"),
    ),
    "vctk": (
        ["--held_out", "1", "--most_skipped", "0.5"],
        {"tr_no_dev": 4, "dev": 2, "eval1": 2},
        ("eval1", "s5_004", clip(3).words.capitalize() + "."),
    ),
    "aishell3": (
        ["--dev_share", "0.2"],
        {"train_no_dev": 11, "dev": 1, "test": 2},
        ("test", "SSB00090001", "".join(clip(0).signs)),
    ),
}


@pytest.fixture(scope="module")
def corpora(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("corpora")


def make(corpora: Path, name: str) -> Path:
    """The miniature, made once for all tests; tests that break it take a copy."""
    folder = corpora / name
    if not folder.exists():
        folder.mkdir()
        return getattr(miniatures, name)(folder)
    return next((below for below in (folder / "LibriSpeech", folder / "downloads") if below.exists()), folder)


def prepare(name: str, root: Path, data: Path, *options: str) -> int:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the datasets library
        return exit_code(prepare_corpus.main, [name, "--root", str(root), "--data", str(data), "--nj", "1", *options])


@pytest.mark.parametrize("name", CORPORA)
def test_sets_and_texts_are_those_of_the_corpus(name, corpora, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    options, sets, (chosen, key, text) = CORPORA[name]
    root = make(corpora, name)
    assert prepare(name, root, tmp_path, *options) == 0
    for set_name, count in sets.items():
        role = prepare_corpus.corpus_class(name).role
        assert validate(tmp_path / set_name, role=role) == []
        assert len(read_table(tmp_path / set_name / "text")) == count, set_name
    assert read_table(tmp_path / chosen / "text")[key] == text
    assert not (tmp_path / f".{name}").exists(), "working lists are removed at the end"


def test_segments_are_where_the_words_are(corpora, tmp_path):
    """A segment of a long opus recording is the clip it was made of."""
    import numpy as np

    assert prepare("wenetspeech", make(corpora, "wenetspeech"), tmp_path, "--sets", "dev") == 0
    recording, start, end = read_table(tmp_path / "dev" / "segments")["Y0000000002_dev_S00004"].split()
    wav, hz = read_audio(read_table(tmp_path / "dev" / "wav.scp")[recording], 16000)
    cut = wav[round(float(start) * hz) : round(float(end) * hz)]
    size = min(len(cut), len(clip(4).wav))
    assert np.corrcoef(cut[:size], clip(4).wav[:size])[0, 1] > 0.9


def test_blanks_stay_between_english_words():
    from freeze_omni.data.corpora.wenetspeech import without_blanks

    assert without_blanks("今天 是 GOOD DAY 吗") == "今天是GOOD DAY吗"


def test_processes_give_the_same(corpora, tmp_path):
    root = make(corpora, "librispeech")
    for data, nj in ((tmp_path / "one", "1"), (tmp_path / "two", "2")):
        assert prepare("librispeech", root, data, "--nj", nj) == 0
    for path in (tmp_path / "one").glob("*/*"):
        if path.name != ".made_from.json":
            assert path.read_text() == (tmp_path / "two" / path.relative_to(tmp_path / "one")).read_text()


def test_what_is_broken_is_left_out_and_told(corpora, tmp_path, capsys):
    root = shutil.copytree(make(corpora, "librispeech"), tmp_path / "LibriSpeech")
    chapter = root / "train-clean-100" / "100" / "1"
    flac = chapter / "100-1-0002.flac"
    flac.write_bytes(flac.read_bytes()[:2000])
    (chapter / "100-1-0000.flac").unlink()
    clip(0).write(chapter / "100-1-0009.flac")
    other = root / "train-clean-100" / "200" / "2" / "200-2.trans.txt"
    other.write_text(other.read_text().replace(f"200-2-0001 {clip(1).words}", "200-2-0001 "))
    sets = ("--sets", "train_clean_100")
    assert prepare("librispeech", root, tmp_path / "data", *sets) == 1
    error = capsys.readouterr().err
    assert "4 of 7 (57 %) cannot be used" in error and "skipped" in error
    assert prepare("librispeech", root, tmp_path / "data", *sets, "--most_skipped", "0.6") == 0
    reasons = (tmp_path / "data/train_clean_100/skipped").read_text()
    for reason in (
        "there is no such audio file",
        "cannot be read",
        "no transcript for the audio",
        "an empty transcript",
    ):
        assert reason in reasons
    assert sorted(read_table(tmp_path / "data/train_clean_100/text")) == ["100-1-0001", "200-2-0000", "200-2-0002"]
    assert validate(tmp_path / "data/train_clean_100", role="asr") == []


def test_a_rerun_makes_only_what_changed(corpora, tmp_path, capsys):
    root = shutil.copytree(make(corpora, "aishell"), tmp_path / "corpus")
    assert prepare("aishell", root, tmp_path / "data") == 0
    before = (tmp_path / "data/train/text").stat().st_mtime_ns
    clip(0).write(root / "data_aishell/wav/dev/S0724/BAC009S0724W0999.wav")
    capsys.readouterr()
    assert prepare("aishell", root, tmp_path / "data", "--most_skipped", "0.5") == 0
    out = capsys.readouterr().out
    assert "data/train: made before from the same files, kept" in out
    assert "1: no transcript for the audio" in out
    assert (tmp_path / "data/train/text").stat().st_mtime_ns == before


def test_a_killed_run_goes_on_with_the_missing_shards(corpora, tmp_path, monkeypatch):
    from freeze_omni.data.corpora import librispeech

    root, read = make(corpora, "librispeech"), librispeech.LibriSpeech.read
    seen: list[str] = []

    def dying(self, name, part):
        if part.endswith("202/2"):
            raise KeyboardInterrupt
        seen.append(part)
        return read(self, name, part)

    monkeypatch.setattr(librispeech.LibriSpeech, "read", dying)
    with pytest.raises(KeyboardInterrupt):
        prepare("librispeech", root, tmp_path)
    done = set(seen)
    seen.clear()
    monkeypatch.setattr(librispeech.LibriSpeech, "read", lambda *a: seen.append(a[2]) or read(*a))
    assert prepare("librispeech", root, tmp_path) == 0
    assert done and not done & set(seen)


BROKEN = [
    ("librispeech", lambda root: shutil.rmtree(root), "no such folder"),
    ("librispeech", lambda root: shutil.rmtree(root / "dev-other"), "no set 'dev_other' in it; there are: train_clean"),
    ("aishell", lambda root: (root / "data_aishell/transcript/aishell_transcript_v0.8.txt").unlink(), "no transcript/"),
    (
        "aishell",
        lambda root: (
            shutil.rmtree(root / "data_aishell/wav"),
            clip(0).write(root / "data_aishell/wav/S.tar.gz", format="WAV"),
        ),
        "still packed; run",
    ),
    ("wenetspeech", lambda root: (root / "WenetSpeech.json").write_text('{"audios": [{"aid": 1, '), "the file is cut"),
    ("wenetspeech", lambda root: (root / "WenetSpeech.json").write_text('{"a": []}'), "no array audios"),
    ("gigaspeech", lambda root: (root / "GigaSpeech.json").unlink(), "no GigaSpeech.json"),
    ("commonvoice", lambda root: (root / "en/dev.tsv").write_text("a\tb\n"), "dev.tsv:1: no column 'client_id'"),
    ("commonvoice", lambda root: shutil.rmtree(root / "en/clips"), "no en/clips"),
    ("ljspeech", lambda root: (root / "LJSpeech-1.1/metadata.csv").unlink(), "no metadata.csv"),
    ("libritts", lambda root: (root / "LibriTTS").rename(root / "other"), "no subset (as train-clean-100)"),
    ("vctk", lambda root: shutil.rmtree(root / "txt"), "no wav48_silence_trimmed"),
    ("aishell3", lambda root: (root / "test/content.txt").unlink(), "content.txt: no such file"),
]


@pytest.mark.parametrize(("name", "break_it", "message"), BROKEN)
def test_a_wrong_layout_is_told_before_work(name, break_it, message, corpora, tmp_path, capsys):
    root = shutil.copytree(make(corpora, name), tmp_path / "corpus")
    break_it(root)
    sets = ["--sets", *CORPORA[name][1]]
    assert prepare(name, root, tmp_path / "data", *CORPORA[name][0], *sets) == 1
    assert message in capsys.readouterr().err


def test_an_id_in_two_places_is_refused(corpora, tmp_path, capsys):
    root = shutil.copytree(make(corpora, "aishell"), tmp_path / "corpus")
    twice = root / "data_aishell/wav/train/S0003"
    shutil.copy(root / "data_aishell/wav/train/S0002/BAC009S0002W0121.wav", twice)
    assert prepare("aishell", root, tmp_path / "data") == 1
    assert "BAC009S0002W0121 comes twice" in capsys.readouterr().err


def test_sound_inside_tables_is_written_once(corpora, tmp_path, monkeypatch):
    """A data set saved by the library holds its sound in its tables."""
    import datasets

    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    file = clip(0).write(tmp_path / "a.flac")
    cells = [{"path": "a.flac", "bytes": file.read_bytes()}, {"path": None, "bytes": file.read_bytes()}]
    rows = {"audio": cells, "words": ["one", "two"]}
    table = datasets.Dataset.from_dict(rows).cast_column("audio", datasets.Audio(decode=False))
    table.save_to_disk(str(tmp_path / "saved"))
    for _ in range(2):
        options = ("--text", "words", "--audio_dir", str(tmp_path / "sound"))
        assert prepare("from_hf", tmp_path / "saved", tmp_path / "data", *options) == 0
    found = read_table(tmp_path / "data/train/wav.scp")
    assert sorted(found) == ["train-00000000", "train-00000001"]
    assert all(Path(path).read_bytes() == file.read_bytes() and path.endswith(".flac") for path in found.values())
    assert prepare("from_hf", tmp_path / "saved", tmp_path / "data2", "--text", "nothing") == 1
