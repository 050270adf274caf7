"""/metrics as Prometheus itself reads it: by the parser of its own client library."""

from types import SimpleNamespace

import pytest
from prometheus_client.parser import text_string_to_metric_families

from freeze_omni.engine.metrics import DURATIONS, SUMS, Measures
from freeze_omni.server.exposition import expose


def test_prometheus_reads_what_is_exposed():
    measures = Measures(lambda: 1.0)
    for seconds in (0.02, 0.03):
        measures.observe("listen_s", seconds)
    measures.observe("worked_s", 3.0)
    measures.observe("heard_s", 12.0)
    handles = [SimpleNamespace(report=measures.report(1, 2, 4)), SimpleNamespace(report=None)]
    refusals = {"the server is full": 2}
    router = SimpleNamespace(sessions=1, limit=4, refusals=refusals, lost_workers=0, handles=handles)
    found = {one.name: one for one in text_string_to_metric_families(expose(router))}
    values = {(one.name, *one.labels.values()): one.value for family in found.values() for one in family.samples}
    assert values["freeze_omni_sessions",] == 1 and values["freeze_omni_refusals_total", "the server is full"] == 2
    assert values["freeze_omni_real_time_factor", "0"] == pytest.approx(0.25)
    assert values["freeze_omni_listen_step_seconds", "0", "0.5"] == 0.03
    assert values["freeze_omni_listen_step_seconds_count", "0"] == 2
    assert values["freeze_omni_listen_step_seconds_sum", "0"] == pytest.approx(0.05)
    kinds = {name.removeprefix("freeze_omni_"): one.type for name, one in found.items()}
    assert all(kinds[name] == "summary" for name, _ in DURATIONS.values())
    assert all(kinds[name.removesuffix("_total")] == "counter" for name, _ in SUMS.values())
