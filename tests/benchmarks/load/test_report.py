"""The table of serving: what was measured, aligned or as Markdown."""

from __future__ import annotations

from benchmarks.load import report
from freeze_omni.eval.provenance import provenance

FOUND = {
    "throughput": {"batch8_speedup": 3.2, "outputs_identical": True, "made": provenance()},
    "limit": {"first_audio_ms": {"average": 210, "p50": 200, "p90": None}, "users_failed": []},
    "faults": {"bad_clients": {"floods_with_sound": 1234, "slow": 2}, "crashes": 0},
}


def test_values_are_shown_as_one_reads_them():
    assert report.rows(FOUND)[:2] == [
        ("throughput", "audio of 8 sessions in a batch, over one by one", "3.2", ">= 3"),
        ("throughput", "a session says the same in a batch as alone", "yes", "yes"),
    ]
    values = {what: value for _, what, value, _ in report.rows(FOUND)}
    assert values["first audio after a turn, average / 50 % / 90 %, ms"] == "210 / 200 / -"
    assert values["sessions that the server ended"] == "none"
    assert values["bad clients"] == "floods with sound 1,234, slow 2"


def test_the_plain_table_is_aligned():
    lines = report.plain(FOUND).splitlines()
    at = lines[0].index("value")
    assert [line[at - 2 : at] for line in lines if line] == ["  "] * 7
    assert all(line[at] != " " for line in lines if line)
    assert lines[1].endswith("3.2  (aim: >= 3)") and lines[3] == ""


def test_the_document_says_how_it_was_measured():
    text = report.markdown({"throughput": FOUND["throughput"]})
    assert "| throughput | a session says the same in a batch as alone | yes | yes |" in text
    assert "- throughput: `" in text and "- limit" not in text
