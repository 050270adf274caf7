"""The benchmark of a GPU at toy widths on a CPU: every row has figures or a reason, and no figure is taken for real."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from benchmarks import gpu
from benchmarks.device.bench import Bench
from benchmarks.device.cards import peak_tflops
from benchmarks.device.sizes import SIZES, build_llm, conf_folder, system_config
from freeze_omni.system import build_parts
from freeze_omni.tasks.parts_model import parameter_count

BENCH = Bench(SIZES["toy"], torch.device("cpu"), Path(), Path())
FIGURE = {  # of each row one that a reader looks for
    "streaming_step": "encoder_step_p90_ms",
    "llm_token": "llm_token_p50_ms",
    "speech_second": "speech_tokens_of_a_second_p50_ms",
    "first_audio": "first_audio_p50_ms",
    "sessions_at_limit": "steps_p90_ms",
    **{row.name: "update_p50_ms" for row in gpu.ROWS if row.name.startswith("train_")},
}


@pytest.fixture(scope="module")
def record(tmp_path_factory):
    path = tmp_path_factory.mktemp("gpu") / "toy.json"
    assert gpu.main(["--size", "toy", "--peak_tflops", "1", "--budget_s", "3600", "--output", str(path)]) == 0
    return json.loads(path.read_text())


@pytest.mark.processes
def test_every_row_has_its_figure_at_toy_widths(record):
    assert record["missing"] == {} and list(record["rows"]) == [row.name for row in gpu.ROWS]
    assert all(record["rows"][name][figure] for name, figure in FIGURE.items())


@pytest.mark.processes
def test_toy_figures_are_marked(record):
    assert record["size"] == "toy" and record["toy"] == gpu.TOY and record["llm"]["hidden_size"] == 64
    assert record["made"]["seed"] == 0 and record["made"]["commit"] and record["made"]["versions"]["torch"]


@pytest.mark.processes
def test_utilisation_follows_from_counted_operations(record):
    for name, row in record["rows"].items():
        if name.startswith("train_"):
            assert row["update_tflop"] > 0 and row["updates_timed"] >= 1
            assert row["mfu"] == pytest.approx(row["tflop_a_second"], abs=1e-4) or row["arithmetic"] == "float32"


@pytest.mark.processes
def test_options_of_the_llm_are_seen_in_what_is_computed(record):
    """Layers that are computed again, and padding that is not left out, are more operations."""
    tflop = {name: row["update_tflop"] for name, row in record["rows"].items() if name.startswith("train_1.2")}
    assert tflop["train_1.2_checkpointing"] > tflop["train_1.2"]
    assert tflop["train_1.2_uneven_padded"] > tflop["train_1.2_uneven"]
    assert record["rows"]["train_1.2_uneven"]["rows"] == record["rows"]["train_1.2"]["rows"] > 1


@pytest.mark.parametrize(
    ("error", "reason", "fault"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), "out of memory: CUDA out of", False),
        (ModuleNotFoundError("No module named 'espnet2'"), "No module named 'espnet2'; --help says", False),
        (KeyError("speech"), "KeyError: 'speech'", True),
    ],
)
def test_a_row_that_fails_is_missing_with_its_reason_and_the_others_go_on(error, reason, fault):
    def fail(_):
        raise error

    rows = (gpu.Row("broken", fail), gpu.Row("whole", lambda _: {"ms": 1.0}))
    found, missing, faults = gpu.run(BENCH, rows, budget_s=60)
    assert found == {"whole": {"ms": 1.0}} and list(missing) == ["broken"]
    assert missing["broken"].startswith(reason) and faults is fault


def test_a_row_for_which_no_time_is_left_is_missing_and_says_so():
    rows = (gpu.Row("late", lambda _: {"ms": 1.0}),)
    assert gpu.run(BENCH, rows, budget_s=1) == ({}, {"late": "the 1 s of --budget_s were spent"}, False)


def test_rows_that_are_not_asked_for_are_missing_and_say_so(tmp_path):
    path = tmp_path / "toy.json"
    assert gpu.main(["--size", "toy", "--rows", "llm_token", "--commit", "abc", "--output", str(path)]) == 0
    record = json.loads(path.read_text())
    assert list(record["rows"]) == ["llm_token"] and record["missing"]["train_1.1"] == "not asked for (--rows)"
    assert record["made"]["commit"] == "abc"


def test_toys_are_never_written_as_results(capsys):
    with pytest.raises(SystemExit):
        gpu.main(["--size", "toy"])
    assert "--size toy is no result" in capsys.readouterr().err


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_the_full_size_needs_a_gpu(capsys):
    with pytest.raises(SystemExit):
        gpu.main([])
    assert "no CUDA device" in capsys.readouterr().err


def test_the_full_size_is_that_of_the_paper():
    size, meta = SIZES["released"], torch.device("meta")
    llm = build_llm(size, meta)
    with meta:
        parts = build_parts(system_config(conf_folder(size, Path()), llm.hidden_size)) | {"llm": llm}
    sizes = {name: round(parameter_count(part) / 1e6, 1) for name, part in parts.items()}
    assert (sizes["llm"], sizes["encoder"], sizes["speech_decoder"]) == (7615.6, 358.0, 164.7)
    assert {weight.dtype for weight in llm.parameters()} == {torch.bfloat16}


def test_peaks_are_those_of_known_cards_alone():
    names = ("NVIDIA H100 80GB HBM3", "NVIDIA H100 PCIe", "NVIDIA A10G", "NVIDIA A100-SXM4-80GB", "NVIDIA L40S")
    assert [peak_tflops(name) for name in names] == [989.0, 756.0, 70.0, 312.0, 362.0]
    unknown = ("NVIDIA L40", "NVIDIA H100 80GB HBM3 MIG 1g.10gb", "Tesla T4")
    assert [peak_tflops(name) for name in unknown] == [None] * 3
