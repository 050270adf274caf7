"""GGUF files: what is read of them, and which are refused with what to do."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import torch

from freeze_omni.llm import llama_library
from freeze_omni.llm.frozen import FrozenLLM
from freeze_omni.llm.gguf_file import GgufFile
from freeze_omni.llm.llama_cpp import LlamaCppLLM
from freeze_omni.llm.llama_library import library
from freeze_omni.llm.source import LlmError
from tests.llm.gguf_toy import need_llama_cpp, write_gguf
from tests.toy import TEXTS, toy_llm

pytestmark = pytest.mark.usefixtures("extra")


@pytest.fixture(scope="module")
def extra():
    need_llama_cpp()


@pytest.fixture
def file(folders, tmp_path):
    return write_gguf(folders["qwen2"], tmp_path / "toy.gguf")


def test_its_tables_are_the_models(file, folders):
    found, llm = GgufFile(file), FrozenLLM.load(folders["qwen2"])
    ids = torch.tensor([[3, 7], [300, 0]])
    assert torch.equal(found.embeddings(ids), llm.embed(ids)) and found.vocab_size == llm.vocab_size
    hidden = torch.randn(2, llm.hidden_size)
    torch.testing.assert_close(found.products(hidden, None), llm.logits(hidden))
    torch.testing.assert_close(found.products(hidden, [9, 4]), llm.logits(hidden)[:, [9, 4]])
    assert found.field("{arch}.block_count") == 2 and found.field("nothing") is None
    assert found.tokens()[: len(llm.tokenizer)] == llm.tokenizer.convert_ids_to_tokens(range(len(llm.tokenizer)))


def test_what_is_no_gguf_file_is_said(tmp_path):
    with pytest.raises(LlmError, match=r"none.gguf: no such file; give a GGUF file"):
        GgufFile(tmp_path / "none.gguf")
    (tmp_path / "text.gguf").write_text("Hello, this is a text and nothing else.")
    with pytest.raises(LlmError, match=r"text.gguf: no GGUF file that can be read .*fetch it again"):
        GgufFile(tmp_path / "text.gguf")


def test_a_file_that_was_cut_off_is_refused(file, folders):
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 3])
    with pytest.raises(LlmError, match=r"toy.gguf: is cut off in .*weight; fetch it again"):
        GgufFile(file)
    file.write_bytes(content[:-9000])
    with pytest.raises(LlmError, match=r"toy.gguf: llama.cpp cannot read it: .+"):
        LlamaCppLLM.load(file, folders["qwen2"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layers": 3}, "its block_count is 3, not 2; give a GGUF file that was made of it"),
        ({"hidden_size": 32}, "its embedding_length is 32, not 48"),
        ({"texts": [text.upper() for text in TEXTS]}, r"token \d+ is '.*', not '.*'; give"),
    ],
)
def test_a_file_of_another_llm_is_refused(change, message, folders, tmp_path):
    other = write_gguf(toy_llm(tmp_path / "other", **change), tmp_path / "other.gguf")
    with pytest.raises(LlmError, match=message):
        LlamaCppLLM.load(other, folders["qwen2"])


def test_other_weights_are_seen_beside_the_llm_itself(folders, tmp_path):
    other = LlamaCppLLM.load(write_gguf(toy_llm(tmp_path / "other", seed=8), tmp_path / "other.gguf"), folders["qwen2"])
    with pytest.raises(LlmError, match=r"other.gguf: its states are not those of .* give a GGUF file that was made of"):
        other.check_same(FrozenLLM.load(folders["qwen2"]))


def test_weights_in_8_bits_are_like_the_llm(folders, tmp_path):
    small = write_gguf(folders["qwen2"], tmp_path / "small.gguf", quantised=True)
    LlamaCppLLM.load(small, folders["qwen2"]).check_same(FrozenLLM.load(folders["qwen2"]))


@pytest.fixture
def again():
    """The library is looked for anew, then and afterwards."""
    library.cache_clear()
    yield
    library.cache_clear()


def test_the_extra_is_named_if_it_is_missing(file, again, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(LlmError, match=r"pip install 'freeze_omni\[llama\]'"):
        GgufFile(file)


def test_a_library_with_other_structures_is_refused(file, again, monkeypatch):
    monkeypatch.setattr(llama_library, "_DEFAULTS", {"n_ctx": 512, "n_batch": 1})
    with pytest.raises(LlmError, match=r"not the llama.cpp that this is written for: pip .*other defaults of n_batch"):
        GgufFile(file)


def test_a_library_of_ones_own_is_taken(file, again, monkeypatch, tmp_path):
    monkeypatch.setenv("FREEZE_OMNI_LLAMA_LIBRARY", str(tmp_path / "libllama.so"))
    with pytest.raises(LlmError, match=r"libllama.so: not the llama.cpp that this is written for"):
        GgufFile(file)
    (tmp_path / "libllama.so").symlink_to(wheel_library())
    library.cache_clear()
    assert GgufFile(file).vocab_size


def wheel_library():
    return next(Path(importlib.util.find_spec("xllamacpp").origin).parent.glob("xllamacpp*.so"))
