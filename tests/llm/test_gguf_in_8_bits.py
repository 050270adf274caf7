"""tools/installers/gguf_in_8_bits.py: the same model, its 4 bits written in 8."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

gguf = pytest.importorskip("gguf", reason="the extra `llama` is not installed")
TOOL = Path(__file__).resolve().parents[2] / "tools/installers/gguf_in_8_bits.py"


def run(*words: Path | str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, str(TOOL), *map(str, words)], text=True, capture_output=True, check=False)


def test_weights_metadata_and_plain_tensors_stay(tmp_path):
    source, target = tmp_path / "source.gguf", tmp_path / "target.gguf"
    kinds, random = gguf.GGMLQuantizationType, np.random.default_rng(0)
    matrix, norm = random.normal(size=(4, 64)).astype(np.float32), random.normal(size=64).astype(np.float32)
    writer = gguf.GGUFWriter(source, "llama")
    writer.add_context_length(128)
    writer.add_file_type(3)
    writer.add_token_list(["a", "b"])
    writer.add_tensor("blk.0.attn_q.weight", gguf.quantize(matrix, kinds.Q4_1), raw_dtype=kinds.Q4_1)
    writer.add_tensor("blk.0.attn_norm.weight", norm)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    assert run(source, target).returncode == 0
    before, after = gguf.GGUFReader(source), gguf.GGUFReader(target)
    fields = {name: field.contents() for name, field in before.fields.items() if not name.startswith("GGUF.")}
    changed = {name: field.contents() for name, field in after.fields.items() if not name.startswith("GGUF.")}
    assert changed == fields | {"general.file_type": 7}
    (weights, kept), (old, same) = after.tensors, before.tensors
    assert (weights.name, weights.tensor_type, weights.shape.tolist()) == (old.name, kinds.Q8_0, [64, 4])
    theirs = gguf.dequantize(old.data, kinds.Q4_1)
    errors = abs(gguf.dequantize(weights.data, kinds.Q8_0) - theirs).reshape(-1, 32).max(1)
    assert (errors <= abs(theirs).reshape(-1, 32).max(1) / 200).all()
    assert kept.name == same.name and np.array_equal(kept.data, same.data)


def test_it_says_how_it_is_used():
    result = run()
    assert result.returncode == 1 and "usage: gguf_in_8_bits.py SOURCE.gguf TARGET.gguf" in result.stderr
