import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest
import soundfile

from freeze_omni.bin import format_wav_scp
from freeze_omni.data import prepare
from freeze_omni.data.audio import AudioError, read_audio, write_wav
from freeze_omni.data.datadir import validate
from freeze_omni.data.datadir_fix import fix
from freeze_omni.data.kaldi_dir import write_set
from freeze_omni.data.parts import Part
from freeze_omni.data.prepare import PrepareConfig, prepare_dir
from freeze_omni.data.tables import TableError, read_table
from tests.commands import exit_code
from tests.data.conftest import tone


def test_rate_speed_and_counts(toy_dir: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert prepare_dir(toy_dir, out, PrepareConfig(speeds=(1.0, 0.8))) == 4
    counts = {key: int(value) for key, value in read_table(out / "utt2num_samples").items()}
    assert counts == {"spk-a": 16000, "spk-b": 8000, "sp0.8-spk-a": 20000, "sp0.8-spk-b": 10000}
    for key, path in read_table(out / "wav.scp").items():
        assert soundfile.info(path).frames == counts[key] and soundfile.info(path).samplerate == 16000
    assert read_table(out / "text")["sp0.8-spk-b"] == "Two."
    assert read_table(out / "utt2spk")["sp0.8-spk-b"] == "sp0.8-spk"


def path_of(folder: Path, utterance: str) -> Path:
    return Path(read_table(folder / "wav.scp")[utterance])


def test_processes_do_the_same(toy_dir: Path, tmp_path: Path) -> None:
    for name, nj in (("one", 1), ("two", 2)):
        prepare_dir(toy_dir, tmp_path / name, PrepareConfig(pad_s=(0.1, 0.2)), nj)
    one, two = (path_of(tmp_path / name, "spk-a").read_bytes() for name in ("one", "two"))
    assert one == two and len(one) == 44 + 2 * 16000 * 1.3


def test_a_rerun_takes_up_finished_files(toy_dir: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    prepare_dir(toy_dir, out, PrepareConfig())
    before = path_of(out, "spk-a").stat().st_mtime_ns
    path_of(out, "spk-b").unlink()
    assert prepare_dir(toy_dir, out, PrepareConfig()) == 2
    assert path_of(out, "spk-a").stat().st_mtime_ns == before and path_of(out, "spk-b").exists()


def test_a_changed_source_or_option_is_prepared_anew(toy_dir: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    prepare_dir(toy_dir, out, PrepareConfig())
    (toy_dir / "wav.scp").write_text(f"spk-a {toy_dir}/b.wav\nspk-b {toy_dir}/a.wav\n")
    prepare_dir(toy_dir, out, PrepareConfig())
    assert read_table(out / "utt2num_samples") == {"spk-a": "8000", "spk-b": "16000"}
    assert soundfile.info(path_of(out, "spk-a")).frames == 8000
    prepare_dir(toy_dir, out, PrepareConfig(pad_s=(0.0, 0.5)))
    assert soundfile.info(path_of(out, "spk-a")).frames == 16000
    assert len(list((out / "wav").iterdir())) == 2


def test_lengths_are_filtered(toy_dir: Path, tmp_path: Path) -> None:
    assert prepare_dir(toy_dir, tmp_path / "out", PrepareConfig(min_s=0.7)) == 1
    assert list(read_table(tmp_path / "out/text")) == ["spk-a"]
    with pytest.raises(TableError, match="no utterance lasts"):
        prepare_dir(toy_dir, tmp_path / "none", PrepareConfig(min_s=5))


def test_segments_are_cut(toy_dir: Path, tmp_path: Path) -> None:
    (toy_dir / "segments").write_text("spk-x spk-a 0.25 0.75\n")
    (toy_dir / "text").write_text("spk-x Half.\n")
    (toy_dir / "utt2spk").write_text("spk-x spk\n")
    prepare_dir(toy_dir, tmp_path / "out", PrepareConfig())
    cut, _ = read_audio(read_table(tmp_path / "out/wav.scp")["spk-x"])
    whole, _ = read_audio(str(toy_dir / "a.wav"), 16000)
    assert np.abs(cut - whole[4000:12000]).max() < 1e-3
    (toy_dir / "segments").write_text("spk-x spk-a 0.25 1.75\n")
    with pytest.raises(AudioError, match=r"a.wav: 1.00 s long, but spk-x ends at 1.75 s"):
        prepare_dir(toy_dir, tmp_path / "out2", PrepareConfig())


def test_silence_and_missing_audio_are_named(toy_dir: Path, tmp_path: Path) -> None:
    write_wav(toy_dir / "b.wav", np.zeros(8000, np.float32), 24000)
    with pytest.raises(AudioError, match="b.wav: spk-b is all silence"):
        prepare_dir(toy_dir, tmp_path / "out", PrepareConfig())
    (toy_dir / "wav.scp").write_text(f"spk-a {toy_dir}/a.wav\n")
    with pytest.raises(TableError, match="spk-b .* is in text but not in wav.scp"):
        prepare_dir(toy_dir, tmp_path / "out", PrepareConfig())


def test_the_command(toy_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    out = str(tmp_path / "out")
    assert exit_code(format_wav_scp.main, [str(toy_dir), out, "--nj", "1", "--speeds", "0.9 1.0"]) == 0
    assert "4 utterances" in capsys.readouterr().out
    assert exit_code(format_wav_scp.main, [str(tmp_path / "nothing"), out]) == 1
    assert "wav.scp: no such file" in capsys.readouterr().err


def skipped(folder: Path) -> dict[str, str]:
    return dict(line.split("\t") for line in (folder / "skipped").read_text().splitlines())


def test_every_utterance_is_kept_or_skipped_with_its_reason(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    wavs = {}

    def sound(key: str, wav: np.ndarray | None = None, hz: int = 16000, **how: str) -> Path:
        wavs[key] = tmp_path / f"{key}.wav"
        soundfile.write(wavs[key], tone(1.0) if wav is None else wav, hz, **how)
        return wavs[key]

    sound("adpcm", subtype="IMA_ADPCM")
    sound("adpcm8", subtype="MS_ADPCM", hz=8000)
    sound("pcm")
    sound("float", tone(1.0, amplitude=1.5), subtype="FLOAT")
    sound("int-as-float", 20000 * tone(1.0), subtype="FLOAT")
    sound("not-a-number", np.full(16000, np.nan), subtype="FLOAT")
    sound("short", tone(0.05))
    sound("long", tone(2.5))
    sound("silent", np.zeros(8000), 8000)
    for key, hz in (("cut", 16000), ("cut8", 8000)):
        cut = sound(key, hz=hz)
        cut.write_bytes(cut.read_bytes()[:-2000])
    sound("folder").unlink()
    wavs["folder"].mkdir()
    write_set(tmp_path / "in", wavs, dict.fromkeys(wavs, "words"), dict.fromkeys(wavs, "spk"))
    assert prepare_dir(tmp_path / "in", tmp_path / "out", PrepareConfig(max_s=2, most_skipped=0.9)) == 4
    samples = read_table(tmp_path / "out/utt2num_samples")
    reasons = skipped(tmp_path / "out")
    assert samples.keys() == {"adpcm", "adpcm8", "pcm", "float"} and samples.keys() | reasons.keys() == wavs.keys()
    for key, why in (
        *[("int-as-float", "far beyond full scale"), ("not-a-number", "not finite"), ("silent", "all silence")],
        *[("short", "0.05 s long, not 0.2 to 2"), ("long", "2.50 s long, not 0.2 to 2")],
        *[("cut", "truncated"), ("cut8", "truncated"), ("folder", "cannot be opened: Is a directory")],
    ):
        assert why in reasons[key]
    louder = soundfile.read(path_of(tmp_path / "out", "float"))[0]
    assert np.corrcoef(louder, tone(1.0))[0, 1] > 0.9999, "scaled, not clipped"
    few = {key: wavs[key] for key in ("pcm", "short")}
    write_set(tmp_path / "few", few, dict.fromkeys(few, "words"), dict.fromkeys(few, "spk"))
    assert exit_code(format_wav_scp.main, [str(tmp_path / "few"), str(tmp_path / "out2"), "--nj", "1"]) == 0
    assert f"1 utterances, 1 skipped (see {tmp_path}/out2/skipped)" in capsys.readouterr().out


def test_a_segment_may_go_to_the_end(toy_dir: Path, tmp_path: Path) -> None:
    (toy_dir / "segments").write_text("spk-x spk-a 0.25 -1\nspk-y spk-a 0 0.5\nspk-z spk-b 0.6 -1\n")
    (toy_dir / "text").write_text("spk-x End.\nspk-y Start.\nspk-z Late.\n")
    (toy_dir / "utt2spk").write_text("spk-x spk\nspk-y spk\nspk-z spk\n")
    (toy_dir / "spk2utt").write_text("spk spk-x spk-y spk-z\n")
    assert validate(toy_dir, role="asr") == []
    assert prepare_dir(toy_dir, tmp_path / "out", PrepareConfig(most_skipped=0.5)) == 2
    assert read_table(tmp_path / "out/utt2num_samples") == {"spk-x": "12000", "spk-y": "8000"}
    assert "0.50 s long, but spk-z starts at 0.6 s; fix segments" in skipped(tmp_path / "out")["spk-z"]
    assert fix(toy_dir)[0] == 3


def test_only_our_own_files_are_removed(toy_dir: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    (out / "wav").mkdir(parents=True)
    own = [out / "wav" / name for name in ("mine.wav", "spk-a-20240101.wav")]
    for path in own:
        path.write_bytes(b"mine")
    prepare_dir(toy_dir, out, PrepareConfig())
    earlier = path_of(out, "spk-a")
    (out / "wav" / "later.wav").write_bytes(b"mine")
    prepare_dir(toy_dir, out, PrepareConfig(pad_s=(0.1, 0.1)))
    assert not earlier.exists() and path_of(out, "spk-a").exists()
    assert all(path.read_bytes() == b"mine" for path in [*own, out / "wav" / "later.wav"])


def test_a_foreign_directory_is_not_overwritten(toy_dir: Path, tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in toy_dir.iterdir()}
    with pytest.raises(TableError, match="is the source itself"):
        prepare_dir(toy_dir, toy_dir, PrepareConfig())
    other = shutil.copytree(toy_dir, tmp_path / "other")
    with pytest.raises(TableError, match="not prepared here; give another folder"):
        prepare_dir(toy_dir, other, PrepareConfig())
    assert {path: path.read_bytes() for path in toy_dir.iterdir()} == before
    assert sorted(path.name for path in other.iterdir()) == sorted(path.name for path in before)


@pytest.mark.parametrize("table", ["text", "utt2spk", "wav.scp"])
def test_an_id_that_leaves_its_folder_is_refused_before_anything_is_written(tmp_path: Path, table: str) -> None:
    write_wav(tmp_path / "a.wav", tone(1.0), 8000)
    key = "../../../escaped/u1"
    names = {"text": ("u1", key, "spk"), "utt2spk": ("u1", "u1", key), "wav.scp": (key, "u1", "spk")}
    recording, utterance, speaker = names[table]
    data = tmp_path / "in"
    data.mkdir()
    (data / "wav.scp").write_text(f"{recording} {tmp_path}/a.wav\n")
    (data / "segments").write_text(f"{utterance} {recording} 0 0.5\n")
    (data / "text").write_text(f"{utterance} words\n")
    (data / "utt2spk").write_text(f"{utterance} {speaker}\n")
    with pytest.raises(TableError, match="a slash in the id.*; rename it"):
        prepare_dir(data, tmp_path / "out/a/b/set", PrepareConfig())
    assert not (tmp_path / "out").exists()


FLAC_SHARDS = {"shards": 5, "audio_format": "flac"}


@pytest.mark.parametrize("options", [{"shards": 1}, {"audio_format": "flac.ark"}, FLAC_SHARDS])
def test_archives_hold_what_files_would(toy_dir: Path, tmp_path: Path, options: dict) -> None:
    single, packed, more = tmp_path / "single", tmp_path / "packed", {"speeds": (1.0, 0.8), "pad_s": (0.1, 0.1)}
    prepare_dir(toy_dir, single, PrepareConfig(**more))
    assert prepare_dir(toy_dir, packed, PrepareConfig(**more, **options), nj=1) == 4
    for name in ("text", "utt2spk", "spk2utt", "utt2num_samples"):
        assert (packed / name).read_text() == (single / name).read_text()
    entries = read_table(packed / "wav.scp")
    for key, path in read_table(single / "wav.scp").items():
        assert np.abs(read_audio(entries[key])[0] - read_audio(path)[0]).max() < 1e-4
    assert not list((packed / "wav").iterdir()) and validate(packed, role="asr") == []
    archives = {path: path.stat().st_mtime_ns for path in (packed / "archives").iterdir()}
    assert len(archives) == 4 if options == {"shards": 1} else 2
    prepare_dir(toy_dir, packed, PrepareConfig(**more, **options))
    assert archives == {path: path.stat().st_mtime_ns for path in (packed / "archives").iterdir()}, "they are kept"
    prepare_dir(toy_dir, packed, PrepareConfig(**more))
    assert not (packed / "archives").exists() and len(list((packed / "wav").iterdir())) == 4


def test_a_text_is_beside_its_sound(toy_dir: Path, tmp_path: Path) -> None:
    prepare_dir(toy_dir, tmp_path / "out", PrepareConfig(shards=2, speeds=(1.0, 0.8)))
    (shard,) = (tmp_path / "out/archives").glob("*.tar")
    with tarfile.open(shard) as tar:
        found = {name: tar.extractfile(name).read().decode() for name in tar.getnames() if name.endswith(".txt")}
    texts = read_table(tmp_path / "out/text")
    assert found == {f"{key.replace('.', '_')}.txt": text for key, text in texts.items()}


def test_sounds_of_a_killed_run_are_removed_with_the_others(toy_dir: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    prepare_dir(toy_dir, out, PrepareConfig(pad_s=(0.1, 0.0)))
    part = out / ".parts/000000"
    part.mkdir(parents=True)
    (part / ".prepared").write_text("half.wav\n")
    (out / "wav/half.wav").write_text("")
    (out / "wav/mine.wav").write_text("")
    prepare_dir(toy_dir, out, PrepareConfig(pad_s=(0.2, 0.0)))
    assert len(list((out / "wav").iterdir())) == 3 and (out / "wav/mine.wav").exists()
    assert not (out / "wav/half.wav").exists()


def test_a_wrong_format_is_said(toy_dir: Path, tmp_path: Path) -> None:
    for wrong in ({"audio_format": "mp3"}, {"shards": 3, "audio_format": "flac.ark"}, {"shards": -1}):
        with pytest.raises(ValueError, match="audio_format|shards"):
            PrepareConfig(**wrong)


def refused(*_, **__):
    raise AssertionError("merging prepares nothing")


TABLES = ("wav.scp", "text", "utt2spk", "spk2utt", "utt2num_samples", "skipped")


@pytest.mark.parametrize("jobs", [2, 3])
def test_an_array_of_jobs_prepares_the_same(toy_dir: Path, tmp_path: Path, monkeypatch, jobs: int) -> None:
    config, one, more = PrepareConfig(speeds=(1.0, 0.9), min_s=0.6), tmp_path / "one", tmp_path / "more"
    kept = prepare_dir(toy_dir, one, config)
    for number in range(jobs, 0, -1):
        prepare_dir(toy_dir, more, config, part=Part(number, jobs))
    assert not (more / "wav.scp").exists()
    made = prepare._prepare
    monkeypatch.setattr(prepare, "_prepare", refused)
    assert prepare_dir(toy_dir, more, config) == kept and not (more / prepare.PARTS).exists()
    for name in TABLES:
        assert (more / name).read_text().replace("/more/", "/one/") == (one / name).read_text(), name
    for key in read_table(one / "wav.scp"):
        assert path_of(more, key).read_bytes() == path_of(one, key).read_bytes()
    monkeypatch.setattr(prepare, "_prepare", made)
    assert prepare_dir(toy_dir, more, PrepareConfig()) == 2, "another configuration"
    assert len(list((more / "wav").iterdir())) == 2, "files of the array are known as ours"


def test_a_killed_array_prepares_what_is_missing(toy_dir: Path, tmp_path: Path, monkeypatch) -> None:
    out, made, seen = tmp_path / "out", prepare._prepare, []

    def counted(recording, config, place):
        seen.append(recording.utterances[0][0])
        if len(seen) == 2:
            raise KeyboardInterrupt
        return made(recording, config, place)

    monkeypatch.setattr(prepare, "_prepare", counted)
    prepare_dir(toy_dir, out, PrepareConfig(), part=Part(1, 2))
    with pytest.raises(KeyboardInterrupt):
        prepare_dir(toy_dir, out, PrepareConfig(), part=Part(2, 2))
    prepare_dir(toy_dir, out, PrepareConfig(), part=Part(1, 2))
    prepare_dir(toy_dir, out, PrepareConfig(), part=Part(2, 2))
    assert seen == ["spk-a", "spk-b", "spk-b"]
    (toy_dir / "wav.scp").write_text(f"spk-a {toy_dir}/b.wav\nspk-b {toy_dir}/a.wav\n")
    prepare_dir(toy_dir, out, PrepareConfig())
    assert read_table(out / "utt2num_samples") == {"spk-a": "8000", "spk-b": "16000"}, "the sound has changed since"
