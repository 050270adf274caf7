"""A comma list of voices: the back-ends of all of them are fetched, and each voice speaks in turn."""

import pytest

from tests.shell.bash import ROOT, ok


@pytest.mark.parametrize("script", ["utils/speak_dialogues.sh", "egs/synth/tts1/local/data.sh"])
@pytest.mark.parametrize(
    ("voices", "fetched"),
    [("kokoro:a,flite:b", "kokoro flite"), ("flite:b", "flite"), ("kokoro", "kokoro"), ("program:x", "")],
)
def test_all_back_ends_are_fetched(script, voices, fetched, tmp_path):
    text = (ROOT / script).read_text()
    choice = text[text.index("case ${voices}") : text.index("esac") + 4]
    for name in ("kokoro", "flite"):
        installer = tmp_path / f"tools/installers/get_{name}.sh"
        installer.parent.mkdir(parents=True, exist_ok=True)
        installer.write_text(f"#!/bin/sh\necho {name} >&2\n")
        installer.chmod(0o755)
    said = ok("bash", "-c", f"MAIN_ROOT={tmp_path} voices={voices} voice=program:y; {{ {choice}; }} 2>&1")
    assert said.split() == fetched.split()


def test_the_voices_of_a_list_take_turns(tmp_path):
    from freeze_omni.bin import tts_synthesize

    (tmp_path / "text").write_text("a One.\nb Two.\nc Three.\n")
    tone = "import sys, numpy, soundfile; soundfile.write(sys.argv[1], numpy.sin(numpy.arange(8000) / 9), 16000)"
    (tmp_path / "tone.py").write_text(tone)
    program = f"python {tmp_path}/tone.py {{output}}"
    words = [
        "--voices",
        "program:anna,program:bob",
        "--program",
        program,
        "--cache",
        str(tmp_path / "cache"),
        "--nj",
        "1",
    ]
    tts_synthesize.main([str(tmp_path), *words])
    speakers = [line.split()[1] for line in (tmp_path / "utt2spk").read_text().splitlines()]
    assert speakers[0] == speakers[2] != speakers[1]
