from pathlib import Path

import numpy as np
import pytest
import soundfile

from freeze_omni.bin import format_wav_scp
from freeze_omni.data.audio import AudioError, read_audio, write_wav
from freeze_omni.data.prepare import PrepareConfig, prepare_dir
from freeze_omni.data.tables import TableError, read_table
from tests.commands import exit_code


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
