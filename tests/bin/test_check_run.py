"""What does not fit together is told before a run begins: LLM, units, adapters, decoder, codec, packed model."""

from __future__ import annotations

import json
import re
import shutil

import pytest
import yaml

from freeze_omni.bin import check_run
from freeze_omni.llm.units import CtcUnits
from freeze_omni.pack import save
from tests.llm.templates import UNKNOWN_THINKING, opening
from tests.llm.zoo import zoo_llm
from tests.shell.bash import ROOT
from tests.toy import TEXTS, toy_llm, toy_system, toy_tokenizer

CONF = ROOT / "egs/TEMPLATE/s2s1/conf"
ALL = ("encoder", "adapter", "dialogue", "codec", "speech_decoder", "prefix")
RESHAPE = "--model speech_decoder.text_rows=reshape"
RESHAPE += " --model speech_decoder.reading=attended --model speech_decoder.length=constant"


@pytest.fixture(scope="module")
def llm(tmp_path_factory):
    return toy_llm(tmp_path_factory.mktemp("check") / "llm")  # 48 wide


def check(folder, *words, conf="tiny", stages=ALL, adapters=("ctc", "conv"), kind="llm"):
    options = ["--conf", CONF / conf, "--work", folder / "work", "--exp", folder / "exp", "--packs"]
    options += ["--unit_kind", kind, "--adapters", *adapters, "--stages", *stages, *words]
    check_run.main([str(option) for option in options])


def refused(capsys, *args, **options):
    with pytest.raises(SystemExit) as end:
        check(*args, **options)
    said = capsys.readouterr().err.splitlines()[-1]  # after progress bars of transformers
    assert end.value.code == 2 and said.startswith("check_run: error: "), said
    return said


@pytest.mark.parametrize("conf", ["tiny", "mini", "base"])
def test_the_recipes_fit(conf, llm, tmp_path):
    check(tmp_path, "--llm", llm, conf=conf)


def test_paper_sizes_need_a_width_that_reshape_can_cut(llm, tmp_path, capsys):
    assert "multiple of 896" in refused(capsys, tmp_path, "--llm", llm, conf="paper")


def test_speech_input_alone_needs_no_llm(tmp_path):
    check(tmp_path, stages=("encoder",), kind="bpe")
    check(tmp_path, stages=("codec",), kind="bpe")


# options of the run, and what is said
MISFITS = {
    "ctc adapter": ({"adapters": ["ctc"], "kind": "bpe"}, [], "1.2_adapter_ctc.yaml: .*kind 'bpe'.*posterior: false"),
    "characters": ({"adapters": ["ctc"], "kind": "char"}, [], "kind 'char'.*--unit_kind llm"),
    "words": ({"adapters": ["words"]}, [], "needs units of kind word, not 'llm': give --unit_kind word"),
    "pool": ({"adapters": ["pool"]}, [], "`pool` needs units of kind word, not 'llm': give --unit_kind word"),
    "warm start": ({"adapters": ["conv"], "kind": "bpe"}, [], "1.2_adapter_conv.yaml: .*no warm_start"),
    "width": ({}, [f"--speech_decoder_args={RESHAPE}"], "2.2_speech_decoder.yaml: .*multiple of 96, not 48"),
    "codes": ({}, ["--codec_args=--model codec.quantiser.codebook_size=512"], "codes is 1024, but the codec has 512"),
    "unknown key": ({}, ["--adapter_args=--model adapter.ctc.posterier=true"], "did you mean 'posterior'"),
    "no such option": ({}, ["--encoder_args=--learning_rate 1"], "or --encoder_args: unrecognized.*rate"),
    "no such value": ({}, ["--encoder_args=--optim sgdd"], "1.1_encoder.yaml, or --encoder_args: .*: 'sgdd'"),
    "no such adapter": ({"adapters": ["attn"]}, [], "1.2_adapter_attn.yaml, or --adapter_args: No such file"),
    "rates": ({}, ["--encoder_args=--model encoder.chunk_frames=8"], "chunk_frames"),
    "heads": ({}, ["--speech_decoder_args=--model speech_decoder.heads=5"], "multiple of heads 5"),
    "history": ({}, ["--dialogue_args=--model history=spoken"], "history"),
}  # fmt: skip


@pytest.mark.parametrize("name", MISFITS)
def test_parts_that_do_not_fit(name, llm, tmp_path, capsys):
    options, words, message = MISFITS[name]
    assert re.search(message, said := refused(capsys, tmp_path, "--llm", llm, *words, **options)), said


def test_without_the_llms_embeddings_units_of_any_kind_will_do(llm, tmp_path):
    plain = "--adapter_args=--model adapter.ctc.posterior=false"
    check(tmp_path, "--llm", llm, plain, adapters=["ctc"], kind="bpe")


@pytest.mark.parametrize("kind", ["lfm2", "t5", "mamba"])
def test_an_llm_that_cannot_be_used(kind, tmp_path, capsys):
    assert str(tmp_path) in refused(capsys, tmp_path, "--llm", zoo_llm(tmp_path / "llm", kind))


def test_a_template_that_leaves_the_llm_thinking(llm, tmp_path, capsys):
    folder = shutil.copytree(llm, tmp_path / "llm")
    (folder / "chat_template.jinja").write_text(opening(UNKNOWN_THINKING[0]))
    assert "leaves the LLM thinking" in refused(capsys, tmp_path, "--llm", folder)


def test_units_that_exist_count_by_what_they_are(llm, tmp_path, capsys):
    CtcUnits.from_characters(TEXTS).save(tmp_path / "char")
    said = refused(capsys, tmp_path, "--llm", llm, "--units", tmp_path / "char", stages=("encoder", "adapter"))
    assert "1.1_encoder: not trained" in refused(capsys, tmp_path, "--llm", llm, stages=("adapter",))
    assert "kind 'char'" in said
    CtcUnits.from_llm(TEXTS, toy_tokenizer("llama")).save(tmp_path / "other")
    assert "another tokenizer" in refused(capsys, tmp_path, "--llm", llm, "--units", tmp_path / "other")
    (tmp_path / "none").mkdir()
    assert "run stage 3" in refused(capsys, tmp_path, "--units", tmp_path / "none", stages=("encoder",))


@pytest.fixture(scope="module")
def pack(tmp_path_factory):
    root = tmp_path_factory.mktemp("pack")
    return save(toy_system(root / "llm"), root / "pack")


INIT = {"adapters": ["init"], "stages": ("dialogue", "prefix")}


def test_a_packed_model_goes_on(pack, tmp_path):
    check(tmp_path, "--init", pack, "--llm", pack / "llm", **INIT)


def test_a_packed_model_that_cannot_go_on(pack, llm, tmp_path, capsys):
    assert "no packed model" in refused(capsys, tmp_path, "--init", tmp_path, **INIT)
    other = shutil.copytree(pack, tmp_path / "pack")
    config = yaml.safe_load((other / "config.yaml").read_text())
    config["speech_decoder"] |= {"length": "predicted", "positions": "progress"}
    (other / "config.yaml").write_text(yaml.safe_dump(config))
    assert "durations" in refused(capsys, tmp_path, "--init", other, **INIT)
    wide = toy_llm(tmp_path / "wide", hidden_size=64)
    assert "of width 64" in refused(capsys, tmp_path, "--init", pack, "--llm", wide, **INIT)
    kind = json.loads((pack / "units/units.json").read_text())["kind"]
    assert kind == "llm"
