"""RESULTS.md from hand-made figures."""

from __future__ import annotations

import json
from dataclasses import asdict

import pytest

from freeze_omni.config import ConfigError
from freeze_omni.data.kaldi_dir import FILE, Source, read_sources, write_sources
from freeze_omni.eval import pictures
from freeze_omni.eval.duplex.measures import Outcome
from freeze_omni.eval.duplex.subject import summarise_outcomes
from freeze_omni.eval.latency import score_latency
from freeze_omni.eval.results import (
    KEYS,
    PARTS,
    USER,
    continuous,
    headline,
    read_results,
    render,
    stage_seconds,
    wall_min,
)
from freeze_omni.eval.wer import error_rate
from freeze_omni.provenance import provenance

RATE = error_rate({"a": "one cat"}, {"a": "one dog"}).as_dict()
SHARE = {"share": 0.9, "low": 0.8, "high": 1.0, "count": 10}
NONE = {"share": None, "low": None, "high": None, "count": 0}
SOURCES = (Source("asr_train", "flite", 4, 100, 12.34), Source("asr_test_real", "prompts", missing="left out"))
OVER = (  # stopped and answered; held the floor
    Outcome("side-0", "side", True, overlapped=True, stop_s=0.75, overlap_s=0.75, behaviour="respond"),
    Outcome("side-1", "side", False, overlapped=True, overlap_s=1.0, behaviour="resume"),
)
CTC, CONV = "mini, CTC tokens (a cascade) (default)", "mini, convolution (the paper)"
ACCURACY = {"accuracy": 0.5, "low": 0.3, "high": 0.7, "questions": 20}


def timed(decided=2.0, audio=3.0):
    marks = {"asked": 2.0, "segment": 2.4, "prefill": 2.5, "tokens": 2.8, "audio": audio, "done": 4.0}
    spent = {"token": 0.3, "segment": 0.1, "prefill": 0.1, "tokens": 0.4, "audio": 0.1, "end": 0.0}
    return {
        "question_end_s": 1.5,
        "decided_s": decided,
        "step_s": [0.05, 0.03],
        "listened_s": 0.32,
        "answer_s": 1.0,
        "marks": marks if audio else {"asked": 2.0},
        "spent_s": spent,
        "llm_tokens": 8,
        "speech_tokens": 40,
    }


def model():
    return {
        "asr": {
            "seen": {"chunk4": RATE, "chunk_inf": RATE},
            "real": {"chunk4": RATE | {"percent": 70.0}, "chunk_inf": RATE},
        },
        "qa": {
            **{"spoken": ACCURACY, "own": ACCURACY, "text": ACCURACY, "ratio": 1.0, "transcript": RATE},
            **{"questions": 12, "heard_as_text": RATE | {"heard": 9}},
            **{"constant": ACCURACY | {"answer": "paris"}, "echo": ACCURACY},
        },
        "states": {
            "take": SHARE,
            "false_pause": NONE,
            "false_other": SHARE,
            "false_other_by_kind": {"noise": SHARE},
            "delay_s": {"average": 0.3, "p50": 0.2, "p90": 0.5, "count": 9},
            "f1": {one: {"precision": 0.8, "recall": 0.7, "f1": 0.75, "chunks": 40} for one in "012"},
        },
        "latency": score_latency([timed()]),
        "duplex": summarise_outcomes([Outcome("turn-0", "turn", True, True, 0.5), *OVER]) | {"pace": 0.0},
        "speech": {
            "copy": RATE,
            "original": RATE | {"percent": 1.0},
            "no_prefix_top1": RATE | {"percent": 30.0},
            "prefix_top2": RATE | {"percent": 40.0, "served": True},
            "streamed": RATE | {"percent": 5.0},
        },
    }


def results(scale="mini", toy=False):
    figures_ = headline(model(), "seen", "unseen", "real") | {"wall_min": 40.0}
    return figures_ | {
        "scale": scale,
        "toy": toy,
        "models": {"ctc": model(), "conv": {"asr": model()["asr"]}},
        "sizes": {"ctc": {"parameters": {"encoder": 5_300_000}, "total": 6_000_000, "megabytes": 24.0}},
        "sources": [asdict(source) for source in SOURCES],
        "stage_seconds": {"1": 60.0},
        "facts": {"voices": "28 of kokoro-js"},
        "provenance": provenance(777),
    }


def test_latency_rows_are_differences_of_marks():
    found = score_latency([timed(), timed(decided=None), timed(audio=None)])
    rows = {name: row["average"] for name, row in found["rows_ms"].items()}
    assert rows == {
        "first_text_chunk": 400.0,
        "decoder_prefilled": 100.0,
        "first_speech_tokens": 300.0,
        "first_pcm": 200.0,
        "total": 1000.0,
    }
    assert found["first_audio_s"]["p50"] == 1.5 and found["decision_s"]["count"] == 1
    assert found["real_time_factor"]["listening"] == 0.25
    assert found["real_time_factor"]["speech_tokens"] == 0.5
    assert found["llm_tokens_per_s"] == 20.0
    assert (found["questions"], found["answered"], found["answered_by_own_decision"]) == (3, 2, 1)


def test_latency_of_nothing_is_none():
    assert score_latency([])["first_audio_s"]["p50"] is None


def test_the_headline_takes_the_setting_of_sessions_and_leaves_gaps():
    found = headline(model(), "seen", "unseen", "real")
    assert found["speech_wer"] == 40.0 and found["speech_wer_streamed"] == 5.0 and found["codec_wer"] == 50.0
    assert found["answer_wer_to_text"] == 50.0 and found["speech_wer_streamed_open"] is None
    assert found["asr_wer_unseen"] is None and found["asr_wer_real"] == 70.0 and found["state_take"] == 0.9
    assert set(found) | set(continuous({}, "seen")) | {"wall_min"} == set(KEYS)
    assert sorted((*USER, *PARTS)) == sorted(KEYS), "each has its place in RESULTS.md"
    assert set(headline({}, "seen", "unseen", "real").values()) == {None}


def test_answers_to_open_questions_have_a_figure_of_their_own():
    figures = model()
    figures["qa"]["sets"] = {"llama-questions": {"ratio": 0.5}}
    figures["speech"]["streamed_llama-questions"] = RATE | {"percent": 50.0}
    found = headline(figures, "seen", "unseen", "real")
    assert (found["speech_wer_streamed_open"], found["speech_wer_streamed"]) == (50.0, 5.0)


def test_the_better_adapter_without_recognised_tokens_is_a_figure_of_its_own():
    pool, conv, words = ({"qa": {"ratio": ratio}, "asr": {"seen": {"llm": RATE}}} for ratio in (0.8, 0.3, 0.9))
    assert continuous({"words": words, "pool": pool, "conv": conv}, "seen") == {
        "qa_ratio_continuous": 0.8,
        "qa_ratio_conv": 0.3,
        "asr_wer_llm_seen": 50.0,
    }
    alone = {"qa_ratio_continuous": 0.3, "qa_ratio_conv": 0.3, "asr_wer_llm_seen": None}
    assert continuous({"conv": conv}, "other") == alone
    assert set(continuous({"words": words}, "seen").values()) == {None}
    assert "| mini, continuous, token rate |" in render("Mini", [results() | {"models": {"pool": model()}}], [])


def test_every_table_is_there_with_both_adapters():
    text = render("Mini", [results()], [("WER by chunk size", "results/mini/chunk_wer.png")])
    assert f"| `asr_wer_seen` | {PARTS['asr_wer_seen']} | 50.000 |" in text
    assert f"| `asr_wer_unseen` | {USER['asr_wer_unseen']} | - |" in text
    assert f"| `asr_wer_real` | {USER['asr_wer_real']} | 70.000 |" in text and f"| {CTC} | real | 70.0" in text
    assert f"| {CTC} | seen | 50.0 (50.0-50.0) |" in text and f"| {CONV} | seen |" in text
    assert f"| {CTC} | no prefix | 30.0 (50.0-50.0) | - |" in text
    assert f"| {CTC} | with prefix | - | 40.0 (50.0-50.0) |" in text
    assert "400 / 400 / 400" in text and "28 of kokoro-js" in text and "The paper" in text
    assert "![WER by chunk size](results/mini/chunk_wer.png)" in text
    assert "90.0 (80.0-100.0), 10" in text and "encoder 5.30" in text
    assert "| 50.0 (50.0-50.0) | 9 of 12 | " in text and "(paris) | " in text
    half = "50.0 (0.0-100.0), 2"
    side = f"| {CTC} | side | {half} | low | - | 2 of 2 | {half} | 0.75 / 0.75 / 0.75 (0.75-0.75) | {half} | {half} |"
    assert "## Talking at once" in text and side in text
    assert (
        "| turn | 100.0 (100.0-100.0), 1 | high | 0.50 / 0.50 / 0.50 (0.50-0.50) | - | - | - | 100.0 (100.0-100.0), 1 |"
        in text
    )
    assert f"- {CTC}: the model's work took no time" in text
    assert not any(word in text for word in ("None", "nan"))


def test_rounds_are_a_table_where_there_are_several():
    found = results()
    assert "| round |" not in render("Mini", [found], [])
    one = {"as_text": RATE, "transcript": RATE, "ended": 3, "questions": 4}
    found["models"]["conv"]["qa"] = {**one, "rounds": {"1": one | {"spoken": ACCURACY}, "2": one}}
    text = render("Mini", [found], [])
    rates = "50.0 (50.0-50.0) | 50.0 (50.0-50.0) | 3 of 4 |"
    assert f"| {CONV} | 1 | 50.0 (30.0-70.0), 20 | - | {rates}" in text
    assert f"| {CONV} | 2 | - | - | {rates}" in text and f"| {CONV} | all | - | - | {rates}" in text


def test_a_toy_says_so_and_is_never_compared_with_the_paper():
    text = render("Tiny", [results("tiny", toy=True)], [])
    assert "Scale tiny is a toy" in text and "The paper" not in text


def test_results_files_that_are_none_are_errors(tmp_path):
    with pytest.raises(ValueError, match="mini.json: no such file"):
        read_results(tmp_path / "mini.json")
    (tmp_path / "mini.json").write_text('{"scale": "mini"}')
    with pytest.raises(ValueError, match="no results of stage 12"):
        read_results(tmp_path / "mini.json")


def test_wall_time_counts_the_stages_before_scoring(tmp_path):
    for stage, seconds in (("1", 60), ("2", 30), ("11", 90), ("13", 1000)):
        (tmp_path / f"seconds.{stage}").write_text(f"{seconds}\n")
    stages = stage_seconds(tmp_path)
    assert list(stages) == ["1", "2", "11", "13"]
    assert wall_min(stages, 60.0) == 4.0
    assert wall_min({}, 60.0) is None and stage_seconds(None) == {}


def test_pictures_are_drawn(tmp_path):
    (title, path), *_ = pictures.chunk_sizes(results(), tmp_path)
    assert title == "WER by chunk size" and path.stat().st_size > 3000
    (tmp_path / "1.1_encoder" / "images").mkdir(parents=True)
    path.rename(tmp_path / "1.1_encoder" / "images" / "loss.png")
    copied = pictures.curves([tmp_path / "1.1_encoder", tmp_path / "none"], tmp_path / "out")
    assert [path.name for _, path in copied] == ["1.1_encoder_loss.png"]


def test_provenance_is_plain_json():
    made = json.loads(json.dumps(provenance(3, 0.0)))
    assert made["seed"] == 3 and made["machine"]["cores"] >= 1 and made["seconds"] > 0
    assert made["commit"] and "torch" in made["versions"]


def test_quality_is_a_table_where_it_was_measured():
    mean = {"mean": 3.25, "low": 3.0, "high": 3.5, "clips": 8}
    quality = {"rows": {"copy": {"overall": mean, "similarity": mean | {"mean": 0.9}}}, "missing": ["DNSMOS was not"]}
    found = results()
    assert "## Speech output: quality" not in render("Mini", [found], [])
    found["models"]["ctc"]["quality"] = quality
    text = render("Mini", [found], [])
    row = f"| {CTC} | copy | 3.25 (3.00-3.50) | - | - | - | 0.90 (3.00-3.50) | 8 |"
    assert row in text and f"- {CTC}: DNSMOS was not" in text


def test_sources_and_the_recipes_notes_are_shown():
    text = render("Mini", [results()], [], "- **Easy questions**\n  by choice.\n")
    assert "| mini, asr_train | flite | 4 | 100 | 12.3 |" in text
    assert "| mini, asr_test_real | prompts | - | - | left out |" in text
    assert "- **Easy questions**\n  by choice.\n" in text
    assert text.index("by choice") < text.index("## Speech input")
    without = render("Mini", [{key: value for key, value in results().items() if key != "sources"}], [])
    assert "## Data" not in without and "To be known" not in without


def test_sources_are_read_as_they_were_written(tmp_path):
    write_sources(tmp_path, SOURCES)
    assert read_sources(tmp_path / FILE) == list(SOURCES)
    (tmp_path / FILE).write_text('{"set": "a", "source": "b", "minuts": 1}\n')
    with pytest.raises(ConfigError, match="sources.jsonl:1: unknown key 'minuts'"):
        read_sources(tmp_path / FILE)
    (tmp_path / FILE).write_text("set\n")
    with pytest.raises(ConfigError, match="sources.jsonl:1: no JSON object"):
        read_sources(tmp_path / FILE)
