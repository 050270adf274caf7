"""A packed folder: whole, checked before it is loaded, and the same model afterwards."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

import freeze_omni
from freeze_omni.config import ConfigError
from freeze_omni.llm.frozen import FrozenLLM
from freeze_omni.llm.llama_cpp import LlamaCppLLM
from freeze_omni.llm.source import LlmError
from freeze_omni.pack import PackError, expected_shapes, load, save
from freeze_omni.quantised import is_quantised
from freeze_omni.system import FreezeOmni
from tests.llm.gguf_toy import need_llama_cpp, write_gguf
from tests.toy import TUNINGS, toy_llm, toy_system


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return toy_system(tmp_path_factory.mktemp("toy") / "llm", task_tokens=2)


@pytest.fixture(scope="module")
def packed(model, tmp_path_factory):
    root = tmp_path_factory.mktemp("pack")
    (root / "RESULTS.md").write_text("# none\n")
    return save(model, root / "model", results=root / "RESULTS.md")


@pytest.fixture
def copy(packed, tmp_path):
    return shutil.copytree(packed, tmp_path / "copy")


def test_a_moved_folder_is_the_same_model(model, copy, packed):
    again = freeze_omni.load(copy)
    assert sorted(path.name for path in copy.iterdir()) == sorted(
        ["config.yaml", "model.safetensors", "llm", "units", "RESULTS.md"]
    )
    ours = model.state_dict()
    assert all(torch.equal(ours[key], value) for key, value in again.state_dict().items())
    assert again.llm.fingerprint() == model.llm.fingerprint()
    wav = torch.randn(1, 2560 * 4)
    lengths = torch.tensor([wav.shape[1]])
    assert again.transcribe(wav, lengths) == model.transcribe(wav, lengths)
    assert not again.training and again.units.tokens == model.units.tokens


def test_shapes_are_known_without_memory(model):
    expected = expected_shapes(model.config)
    assert expected == {key: tuple(value.shape) for key, value in model.state_dict().items()}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: w.pop("prompt.weight"), "missing: prompt.weight"),
        (lambda w: w.update(extra=torch.zeros(1)), "unknown: extra"),
        (lambda w: w.update({"prompt.weight": torch.zeros(2, 2)}), r"prompt.weight \(2, 2\)"),
    ],
)
def test_tensors_that_do_not_fit_are_named(copy, change, message):
    weights = load_file(copy / "model.safetensors")
    change(weights)
    save_file(weights, copy / "model.safetensors")
    shutil.rmtree(copy / "llm")  # found before the LLM is read
    with pytest.raises(PackError, match=message):
        load(copy)


def test_broken_folders_are_errors(copy, tmp_path):
    with pytest.raises(PackError, match="stage 13"):
        load(tmp_path / "nothing")
    weights = (copy / "model.safetensors").read_bytes()
    (copy / "model.safetensors").write_bytes(weights[: len(weights) // 2])
    with pytest.raises(PackError, match="cut off"):
        load(copy)
    (copy / "model.safetensors").unlink()
    with pytest.raises(PackError, match="no such file"):
        load(copy)
    config = yaml.safe_load((copy / "config.yaml").read_text())
    config["encodr"] = {}
    (copy / "config.yaml").write_text(yaml.safe_dump(config))
    with pytest.raises(ConfigError, match="did you mean 'encoder'"):
        load(copy)


def test_another_llm_is_refused_unless_asked_for(copy, tmp_path):
    other = toy_llm(tmp_path / "other", seed=8)
    with pytest.raises(PackError, match="not the LLM"):
        load(copy, llm=other)
    assert load(copy, llm=other, verify=False).llm.source == str(other)


def test_a_reference_to_the_llm_holds_no_copy(model, tmp_path):
    folder = save(model, tmp_path / "light", copy_llm=False)
    assert not (folder / "llm").exists()
    assert load(folder).llm.fingerprint() == model.llm.fingerprint()


@pytest.mark.parametrize("name", TUNINGS)
def test_what_was_learned_beside_the_llm_is_packed_with_it(name, tmp_path):
    model = toy_system(tmp_path / "llm", llm_tuning=TUNINGS[name])
    folder, positions = save(model, tmp_path / "model"), torch.randn(1, 4, model.llm.hidden_size)
    again = load(folder)
    assert torch.equal(again.llm(positions)[0], model.llm(positions)[0])
    assert not torch.allclose(again.llm(positions)[0], again.llm.plain(positions)[0], atol=1e-3)
    assert again.llm.fingerprint() == model.llm.fingerprint() == again.config.llm.fingerprint
    assert expected_shapes(again.config, folder / "llm") == {k: tuple(v.shape) for k, v in model.state_dict().items()}
    weights = load_file(folder / "model.safetensors")
    key = next(key for key in weights if key.startswith("llm_tuning."))
    weights.pop(key)
    save_file(weights, folder / "model.safetensors")
    with pytest.raises(PackError, match=f"missing: {key}"):
        load(folder)


def test_packing_again_replaces_a_pack_and_keeps_what_is_not_ours(model, copy, tmp_path):
    (copy / "notes.md").write_text("mine")
    (copy / "llm" / "old.bin").touch()
    save(load(copy), copy)
    assert (copy / "notes.md").read_text() == "mine" and not (copy / "llm" / "old.bin").exists()
    assert load(copy).llm.source == str(copy / "llm")
    assert [path.name for path in tmp_path.iterdir()] == ["copy"]


@pytest.mark.parametrize("files", [["thesis.tex"], ["config.yaml", "train.log"], ["config.yaml", "model.safetensors"]])
def test_a_folder_of_something_else_is_left_alone(model, tmp_path, files):
    """Such as a training folder, which has a config.yaml, too."""
    folder = tmp_path / "mine"
    folder.mkdir()
    for name in files:
        (folder / name).write_text("mine")
    with pytest.raises(PackError, match="something else"):
        save(model, folder)
    assert sorted(path.name for path in folder.iterdir()) == files
    assert all((folder / name).read_text() == "mine" for name in files)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


@pytest.fixture(scope="module")
def with_gguf(model, tmp_path_factory):
    """The toy, packed with a GGUF file of its LLM."""
    need_llama_cpp()
    root = tmp_path_factory.mktemp("gguf")
    return save(model, root / "model", gguf=write_gguf(Path(model.llm.source), root / "toy.gguf"))


def test_a_gguf_file_is_packed_and_computes_the_llm(model, with_gguf, tmp_path):
    copy = shutil.copytree(with_gguf, tmp_path / "copy")
    again = load(copy)
    assert isinstance(again.llm, LlamaCppLLM) and again.llm.file.path == copy / "llm" / "toy.gguf"
    ids = torch.tensor(again.llm.order.before_turn(again.system_prompt))
    ours, theirs = (one.llm.read_rows([one.llm.embed(ids)], [one.llm.new_cache()])[0] for one in (again, model))
    assert float((ours - theirs).norm() / theirs.norm()) < 5e-3
    assert isinstance(load(copy, gguf="").llm, FrozenLLM)
    (copy / "llm" / "toy.gguf").write_bytes(Path(with_gguf / "llm" / "toy.gguf").read_bytes() + b"more")
    with pytest.raises(PackError, match=r"toy.gguf: not the LLM that this model was trained with"):
        load(copy)


def test_a_gguf_file_may_be_given_for_a_model_that_has_none(model, packed, with_gguf):
    file = with_gguf / "llm" / "toy.gguf"
    assert load(packed, gguf=file).llm.file.path == file
    with pytest.raises(PackError, match="is computed on the CPU; on cuda give none"):
        load(packed, device="cuda", gguf=file)
    with pytest.raises(PackError, match="only a model with its LLM's own weights is packed"):
        save(load(packed, gguf=file), packed.parent / "again")


def test_a_gguf_file_of_other_weights_is_not_packed(model, tmp_path):
    need_llama_cpp()
    file = write_gguf(toy_llm(tmp_path / "other", seed=8), tmp_path / "other.gguf")
    with pytest.raises(LlmError, match="its states are not those of"):
        save(model, tmp_path / "pack", gguf=file)
    assert not (tmp_path / "pack").exists()


def test_what_was_learned_with_the_llm_is_not_left_out_unsaid(tmp_path):
    need_llama_cpp()
    model = toy_system(tmp_path / "llm", llm_tuning=TUNINGS["lora"])
    file = write_gguf(tmp_path / "llm", tmp_path / "toy.gguf")
    with pytest.raises(PackError, match="does not compute with what was learned with the LLM"):
        save(model, tmp_path / "pack", gguf=file)


@pytest.mark.parametrize("bits", ["float16", "int8"])
def test_parts_in_few_bits_are_packed_in_float32_and_hear_and_speak_nearly_the_same(bits, model, tmp_path):
    chosen = dict.fromkeys(["encoder", "speech_decoder"], bits)
    small_model = FreezeOmni(replace(model.config, few_bits=chosen), model.llm, model.units, model.state_dict())
    folder = save(small_model, tmp_path / "small")
    small, whole = load(folder), load(folder, few_bits={})
    assert all(torch.equal(value, whole.state_dict()[key]) for key, value in model.state_dict().items())
    assert is_quantised(small.encoder) and is_quantised(small.speech_decoder) and not is_quantised(small.adapter)
    feats, lengths = torch.randn(2, 32, model.rates.mel_bins), torch.tensor([32, 16])
    text, hidden = torch.randn(2, 1, 5, model.llm.hidden_size).unbind()
    frames, logits = zip(*[_heard_and_spoken(one, feats, lengths, text, hidden) for one in (small, whole)], strict=True)
    for found, exact in (frames, logits):
        assert 0 < float((found - exact).norm() / exact.norm()) < (0.002 if bits == "float16" else 0.05)
    with pytest.raises(PackError, match="few_bits={}"):
        save(small, tmp_path / "again")


@torch.no_grad()
def _heard_and_spoken(model, feats, lengths, text, hidden):
    decoder = model.speech_decoder
    token = torch.tensor([decoder.config.sos])
    return model.encoder(feats, lengths)[0], decoder.step(token, decoder.start(text, hidden))[0]


def test_parts_without_few_bits_are_named(copy):
    config = yaml.safe_load((copy / "config.yaml").read_text()) | {"few_bits": {"codec": "int8"}}
    (copy / "config.yaml").write_text(yaml.safe_dump(config))
    with pytest.raises(ConfigError, match="few_bits: codec is not one of encoder, speech_decoder"):
        load(copy)
