"""`freeze-omni check-llm`, as docs/add_a_part.md has it, with the kinds of Qwen, Llama and Gemma."""

import re

import pytest

from freeze_omni.bin import main as command
from tests.shell.bash import ROOT
from tests.toy import toy_llm

PAGE = (ROOT / "docs/add_a_part.md").read_text(encoding="utf-8")
KINDS = {
    "qwen2": ("qwen2", "has one", "<|im_end|>"),
    "llama": ("llama", "has one", "<|eot_id|>"),
    "gemma": ("gemma2", "none: its text opens the first user turn", "<end_of_turn>"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_page_on_every_kind(kind, tmp_path, capsys):
    words = re.search(r"^freeze-omni (\S+) \"\$LLM\"$", PAGE, re.MULTILINE).group(1)
    command.main([words, str(toy_llm(tmp_path / kind, kind, hidden_size=40))])
    said = {line[:22].strip(): line[22:] for line in capsys.readouterr().out.splitlines()}
    architecture, system, end_token = KINDS[kind]
    assert said["architecture"] == architecture and said["hidden size"] == "40"
    assert said["system role"] == system and said["end token"].startswith(end_token)


def test_a_folder_without_a_model_is_told(tmp_path, capsys):
    from freeze_omni.bin import check_llm

    assert check_llm.main([str(tmp_path)]) == 1
    assert str(tmp_path) in capsys.readouterr().err


@pytest.mark.parametrize(("words", "dtype"), [((), "float32"), (("--dtype", "bfloat16"), "bfloat16")])
def test_the_dtype_is_the_stored_one_or_that_of_the_option(words, dtype, tmp_path, capsys):
    command.main(["check-llm", str(toy_llm(tmp_path / "llm")), *words])
    assert re.search(rf"^dtype +{dtype}, 0\.00 GB$", capsys.readouterr().out, re.MULTILINE)


def test_an_unknown_dtype_is_told(tmp_path, capsys):
    from freeze_omni.bin import check_llm

    assert check_llm.main([str(toy_llm(tmp_path / "llm")), "--dtype", "float8"]) == 1
    assert "unknown LLM dtype 'float8', expected" in capsys.readouterr().err
