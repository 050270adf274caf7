"""/metrics as Prometheus itself reads it, by the parser of its client library; and the dashboard's queries."""

from __future__ import annotations

import json
import re
from types import SimpleNamespace

import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from freeze_omni.engine.metrics import DURATIONS, SUMS, Measures
from freeze_omni.rates import Rates
from freeze_omni.server.exposition import PREFIX, registry
from tests.shell.bash import ROOT

DASHBOARD = ROOT / "docs/monitoring/grafana.json"


def measured():
    measures = Measures(lambda: 1.0)
    for seconds in (0.02, 0.03, 0.16, 7.0):
        measures.observe("listen_s", seconds)
    for name, value in (("worked_s", 3.0), ("heard_s", 12.0), ("batch_rows", 5), ("queue_speak_s", 0.02)):
        measures.observe(name, value)
    return measures


def router(place=0, refusals=2, measures=None):
    """A router of two workers, of which one has reported."""
    report = (measures or measured()).report(1, 2, 4)
    config = SimpleNamespace(device="cuda:0")
    handles = [
        SimpleNamespace(place=place, report=report, answers=True, node="", clients={"a": None}, config=config),
        SimpleNamespace(place=1 - place, report=None, answers=False, node="10.0.0.7", clients={}, config=config),
    ]
    return SimpleNamespace(
        sessions=1,
        limit=4,
        unready="",
        admitted=7,
        refusals={"the server is full": refusals},
        closed={"idle_timeout": 1},
        lost_workers=0,
        handles=handles,
    )


def families(text):
    return {one.name: one for one in text_string_to_metric_families(text)}


@pytest.fixture(scope="module")
def found():
    return families(generate_latest(registry(router())).decode())


@pytest.fixture(scope="module")
def values(found):
    """(name, values of its labels by their names) -> value."""
    samples = [one for family in found.values() for one in family.samples]
    names = [one.name.removeprefix("freeze_omni_") for one in samples]
    labels = [dict(sorted(one.labels.items())).values() for one in samples]
    return {(name, *own): one.value for name, own, one in zip(names, labels, samples, strict=True)}


def test_prometheus_reads_what_is_exposed(found, values):
    assert values["sessions",] == 1 and values["ready",] == 1 and values["workers",] == 1
    assert values["refusals_total", "the server is full"] == 2 and values["admitted_sessions_total",] == 7
    assert values["closed_connections_total", "idle_timeout"] == 1
    assert values["real_time_factor", "0"] == pytest.approx(0.25) and values["batch_rows_total", "0"] == 5
    kinds = {name.removeprefix("freeze_omni_"): one.type for name, one in found.items()}
    assert all(kinds[one.name] == "histogram" for one in DURATIONS.values())
    assert all(kinds[name.removesuffix("_total")] == "counter" for name, _ in SUMS.values())


def test_each_worker_has_its_place(found, values):
    samples = found["freeze_omni_worker_up"].samples
    assert [(one.labels["worker"], one.labels["node"], one.value) for one in samples] == [
        ("0", "", 1),
        ("1", "10.0.0.7", 0),
    ]
    assert samples[1].labels["device"] == "cuda:0"
    assert values["worker_sessions", "0"] == 1 and values["worker_sessions", "1"] == 0


def test_a_histogram_counts_what_is_up_to_each_bound(values):
    bounds = ("0.01", "0.02", "0.14", "0.16", "5.12")
    up_to = [values["listen_step_seconds_bucket", bound, "0"] for bound in bounds]
    assert up_to == [0, 1, 2, 3, 3], "a bound counts for its bucket"
    assert values["listen_step_seconds_bucket", "+Inf", "0"] == values["listen_step_seconds_count", "0"] == 4
    assert values["listen_step_seconds_sum", "0"] == pytest.approx(7.21)
    speak = [values["queue_seconds_bucket", "speak", bound, "0"] for bound in ("0.01", "0.03", "+Inf")]
    assert speak == [0, 1, 1] and values["queue_seconds_count", "write", "0"] == 0


def test_the_limit_of_a_step_is_a_bound():
    assert Rates().chunk_s in DURATIONS["listen_s"].bounds_s
    assert all(sorted(set(one.bounds_s)) == list(one.bounds_s) for one in DURATIONS.values())


def test_each_server_has_counts_of_its_own():
    one, other = registry(router(refusals=2)), registry(router(refusals=5))
    full = {"reason": "the server is full"}
    found = [each.get_sample_value("freeze_omni_refusals_total", full) for each in (one, other)]
    assert found == [2, 5] and one.get_sample_value("process_resident_memory_bytes") > 0
    steps = ("freeze_omni_listen_step_seconds_count", "freeze_omni_listen_step_seconds_bucket")
    late = {"worker": "0"}, {"worker": "0", "le": "0.16"}
    assert [one.get_sample_value(*sample) for sample in zip(steps, late, strict=True)] == [4, 3]


def test_the_last_minute_decides_about_admission():
    now_s = 0.0
    measures = Measures(lambda: now_s)
    assert measures.report(0, 0, 1).late_s == 0
    for number in range(10):
        measures.observe("listen_s", 0.1 + number / 100)
    assert measures.report(0, 0, 1).steps_s == (pytest.approx(0.15), pytest.approx(0.19))
    now_s = 61.0
    measures.observe("listen_s", 0.01)
    report = measures.report(0, 0, 1)
    assert report.late_s == 0.01 and report.durations["listen_s"].number == 11


def test_the_page_lists_every_metric(found):
    page = (ROOT / "docs/serving.md").read_text(encoding="utf-8").split("## Watch a server")[1].split("\n## ")[0]
    rows = re.findall(r"^\| ([^|]*) \|", page, re.MULTILINE)
    listed = [name for row in rows for name in re.findall(r"`([a-z_]+)`", row)]
    exposed = [f"{one.name}_total" if one.type == "counter" else one.name for one in found.values()]
    assert sorted(listed) == sorted(name[len(PREFIX) :] for name in exposed if name.startswith(PREFIX))


def test_the_dashboard_asks_for_metrics_and_labels_that_are_there(found):
    board = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    queries = [target["expr"] for panel in board["panels"] for target in panel.get("targets", [])]
    assert len(queries) > 10
    samples = [one for family in found.values() for one in family.samples]
    names = {one.name for one in samples}
    asked = {name for query in queries for name in re.findall(r"\b(?:freeze_omni|process)_\w+", query)}
    assert asked <= names
    labels = {label for one in samples for label in one.labels} | {"instance", "job"}
    for query in queries:
        grouped = {label for inside in re.findall(r"by \(([^)]*)\)", query) for label in re.findall(r"\w+", inside)}
        matched = set(re.findall(r"[{,]\s*(\w+)\s*=", query))
        shown = set(re.findall(r"\{\{(\w+)\}\}", json.dumps(board)))
        assert grouped | matched | shown <= labels, query
    shown = {name.removeprefix("freeze_omni_") for name in asked}
    assert {f"{one.name}_bucket" for one in DURATIONS.values()} <= shown, "every histogram has its place"
