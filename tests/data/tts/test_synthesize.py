import shutil
import sys
from pathlib import Path

import pytest

from freeze_omni.bin import tts_synthesize
from freeze_omni.data.audio import read_audio
from freeze_omni.data.tables import read_table, write_table
from freeze_omni.data.tts.backends import Program, TtsError, Voice, altered
from freeze_omni.data.tts.synthesize import Job, TtsFolders, cached_path, make_backend, synthesize, voice_of_command
from tests.commands import exit_code
from tests.data.conftest import TONE_PROGRAM


def test_a_voice_is_written_and_read() -> None:
    voice = Voice.parse("kokoro:af_heart+am_adam@1.1")
    assert (voice.backend, voice.name, voice.speed) == ("kokoro", "af_heart+am_adam", 1.1)
    assert str(voice) == "kokoro:af_heart+am_adam@1.1" and voice.speaker == "kokoro_af_heart_am_adam"
    assert str(Voice.parse("flite:slt")) == "flite:slt"
    for bad in ("slt", "flite:", "flite:slt@fast", "flite:slt@9"):
        with pytest.raises(TtsError, match="expected backend:name"):
            Voice.parse(bad)


def test_an_option_names_a_program_and_its_voice_at_once() -> None:
    command = "my-tts --speed 1.2 --out {output}"
    assert voice_of_command(f"program:{command}") == ("program:command", command)
    for voice in ("espeak:cmn", "program:anna"):
        assert voice_of_command(voice) == (voice, "")


@pytest.mark.skipif(not shutil.which("espeak-ng"), reason="espeak-ng is not installed")
def test_espeak_speaks_mandarin(tmp_path: Path) -> None:
    jobs = [Job(text, text, Voice.parse("espeak:cmn")) for text in ("你好。", "今天的天气非常好。")]
    short, long = (read_audio(str(path)) for path in synthesize(jobs, TtsFolders(cache=str(tmp_path))).values())
    assert 0.2 < len(short[0]) / short[1] < len(long[0]) / long[1] < 10


def test_each_sentence_is_spoken_once_and_cut_tightly(tmp_path: Path, toy_program: str) -> None:
    folders = TtsFolders(cache=str(tmp_path / "cache"), program=toy_program)
    voice = Voice.parse("program:tone")
    jobs = [Job("a", "four", voice), Job("b", "four", voice), Job("c", "eleven", voice)]
    paths = synthesize(jobs, folders)
    assert paths["a"] == paths["b"] != paths["c"]
    wav, hz = read_audio(str(paths["a"]))
    assert len(wav) / hz == pytest.approx(0.2 + 0.12, abs=0.02)
    stamp = paths["a"].stat().st_mtime_ns
    assert synthesize(jobs, folders) == paths and paths["a"].stat().st_mtime_ns == stamp


def test_the_key_holds_everything_that_changes_the_sound(tmp_path: Path) -> None:
    job = Job("a", "text", Voice.parse("flite:slt"))
    others = [
        cached_path(Job("a", "Text", job.voice), "1", tmp_path),
        cached_path(Job("a", "text", Voice.parse("flite:rms")), "1", tmp_path),
        cached_path(Job("a", "text", Voice.parse("flite:slt@1.1")), "1", tmp_path),
        cached_path(job, "2", tmp_path),
    ]
    assert len({cached_path(job, "1", tmp_path), *others}) == 5
    assert cached_path(Job("b", "text", job.voice), "1", tmp_path) == cached_path(job, "1", tmp_path)


def test_what_cannot_be_spoken_is_named(tmp_path: Path) -> None:
    with pytest.raises(TtsError, match="known: kokoro, piper, program"):
        make_backend("festvox", TtsFolders(cache=str(tmp_path)))
    with pytest.raises(TtsError, match="get_kokoro.sh"):
        make_backend("kokoro", TtsFolders(cache=str(tmp_path)))
    folders = TtsFolders(cache=str(tmp_path), program="false {output}")
    with pytest.raises(TtsError, match="`false .*speech.wav` failed"):
        synthesize([Job("a", "text", Voice.parse("program:x"))], folders)


def test_the_command_deals_out_voices(tmp_path: Path, toy_program: str) -> None:
    write_table(tmp_path / "set/text", {"u1": "One.", "u2": "Two."})
    options = ["--cache", str(tmp_path / "cache"), "--program", toy_program, "--nj", "1"]
    assert exit_code(tts_synthesize.main, [str(tmp_path / "set"), *options, "--voices", "program:x program:y"]) == 0
    assert read_table(tmp_path / "set/utt2spk") == {"u1": "program_x", "u2": "program_y"}
    assert Path(read_table(tmp_path / "set/wav.scp")["u1"]).exists()
    (tmp_path / "set/utt2voice").write_text("u1 program:z\n")
    assert exit_code(tts_synthesize.main, [str(tmp_path / "set"), *options]) == 1


def test_recordings_are_not_replaced_by_synthesised_speech(
    tmp_path: Path, toy_program: str, capsys: pytest.CaptureFixture
) -> None:
    write_table(tmp_path / "set/text", {"u1": "One."})
    options = ["--cache", str(tmp_path / "cache"), "--program", toy_program, "--nj", "1", "--voices", "program:a"]
    (tmp_path / "set/wav.scp").write_text("u1 /mine/u1.wav\n")
    assert exit_code(tts_synthesize.main, [str(tmp_path / "set"), *options]) == 1
    assert "set/wav.scp:1: a sound that was not synthesised here" in capsys.readouterr().err
    assert (tmp_path / "set/wav.scp").read_text() == "u1 /mine/u1.wav\n" and not (tmp_path / "cache").exists()
    (tmp_path / "set/wav.scp").unlink()
    for _ in range(2):  # our own is
        assert exit_code(tts_synthesize.main, [str(tmp_path / "set"), *options]) == 0


def test_a_voice_is_altered_in_pitch_and_formants(tmp_path: Path) -> None:
    script = tmp_path / "tone.py"
    script.write_text(
        f"import sys; open({str(tmp_path / 'asked')!r}, 'w').write(' '.join(sys.argv[2:]))\n{TONE_PROGRAM}"
    )
    program = Program(f"{sys.executable} -S {script} {{output}} {{voice}} {{pitch}} {{stretch}}")
    sounds = {voice: program.speak("four", voice, 1.0) for voice in ("x", "x^1.2", "x^1.2^1.25")}
    assert (tmp_path / "asked").read_text() == "x 0.960 1.250"  # the rate does the rest
    assert [hz for _, hz in sounds.values()] == [16000, 16000, 20000]
    assert altered("x^1.2") == ("x", 1.2, 1.0) and Voice("flite", "x^1.2^0.9").speaker == "flite_x_1_2_0_9"
    for bad in ("x^", "x^high", "x^9", "x^1^1^1"):
        with pytest.raises(TtsError, match="factors of 0.5 to 2"):
            altered(bad)
