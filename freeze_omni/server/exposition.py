"""/metrics: a registry of Prometheus for each server, which asks the router for its state when it is read.

Labels are few: a worker's number, its device and node, the kind of work, the reason of a refusal. None names a session.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import accumulate

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from freeze_omni.engine.metrics import DURATIONS, SUMS, Histogram, Report
from freeze_omni.server.router import Router

PREFIX = "freeze_omni_"


def registry(router: Router) -> CollectorRegistry:
    """What the router and its workers count, and memory, files and time of this process."""
    made = CollectorRegistry()
    made.register(RouterCollector(router))
    ProcessCollector(registry=made)
    return made


class RouterCollector(Collector):
    def __init__(self, router: Router) -> None:
        self._router = router

    def collect(self) -> Iterator[Metric]:
        router = self._router
        answering = sum(handle.answers for handle in router.handles)
        yield GaugeMetricFamily(f"{PREFIX}sessions", "Open sessions.", router.sessions)
        yield GaugeMetricFamily(f"{PREFIX}session_limit", "Sessions that are served in real time.", router.limit)
        yield GaugeMetricFamily(f"{PREFIX}workers", "Workers that answer.", answering)
        yield GaugeMetricFamily(f"{PREFIX}ready", "1 while a session more would be admitted.", not router.unready)
        yield CounterMetricFamily(f"{PREFIX}admitted_sessions_total", "Sessions admitted.", router.admitted)
        yield _counter("refusals_total", "Sessions refused.", "reason", router.refusals)
        yield _counter("closed_connections_total", "Connections that the server has closed.", "code", router.closed)
        yield CounterMetricFamily(f"{PREFIX}lost_workers_total", "Workers that died.", router.lost_workers)
        yield from _places(router)
        yield from _of_workers({str(handle.place): handle.report for handle in router.handles if handle.report})


def _places(router: Router) -> Iterator[Metric]:
    """Where the workers are, and who is there. A worker that is being started is missing."""
    up = GaugeMetricFamily(f"{PREFIX}worker_up", "1: it takes sessions.", labels=["worker", "device", "node"])
    sessions = GaugeMetricFamily(f"{PREFIX}worker_sessions", "Open sessions of a worker.", labels=["worker"])
    for handle in router.handles:
        up.add_metric([str(handle.place), handle.config.device, handle.node], handle.answers)
        sessions.add_metric([str(handle.place)], len(handle.clients))
    yield from (up, sessions)


def _counter(name: str, text: str, label: str, counts: Mapping[str, int]) -> Metric:
    family = CounterMetricFamily(PREFIX + name, text, labels=[label])
    for value, count in sorted(counts.items()):
        family.add_metric([value], count)
    return family


def _of_workers(reports: dict[str, Report]) -> Iterator[Metric]:
    waiting = GaugeMetricFamily(
        f"{PREFIX}waiting_chunks", "Queue depth: chunks of 160 ms that wait to be heard.", labels=["worker"]
    )
    factor = GaugeMetricFamily(
        f"{PREFIX}real_time_factor", "Work for a second of audio heard or spoken, since the start.", labels=["worker"]
    )
    sums = {key: CounterMetricFamily(PREFIX + name, text, labels=["worker"]) for key, (name, text) in SUMS.items()}
    durations: dict[str, HistogramMetricFamily] = {}
    for worker, report in reports.items():
        waiting.add_metric([worker], report.waiting_chunks)
        factor.add_metric([worker], _real_time_factor(report))
        for key, value in report.sums.items():
            sums[key].add_metric([worker], value)
    for key, one in DURATIONS.items():
        kind = [one.kind] if one.kind else []
        labels = ["worker", "kind"][: 1 + len(kind)]
        family = durations.setdefault(one.name, HistogramMetricFamily(PREFIX + one.name, one.text, labels=labels))
        for worker, report in reports.items():
            found = report.durations[key]
            family.add_metric([worker, *kind], _buckets(one.bounds_s, found), found.total_s)
    yield from (waiting, factor, *sums.values(), *durations.values())


def _buckets(bounds_s: tuple[float, ...], found: Histogram) -> list[tuple[str, float]]:
    """(upper bound, values up to it), as Prometheus has them."""
    return list(zip([*map(str, bounds_s), "+Inf"], accumulate(found.counts), strict=True))


def _real_time_factor(report: Report) -> float:
    audio_s = report.sums["heard_s"] + report.sums["spoken_s"]
    return report.sums["worked_s"] / audio_s if audio_s else 0.0
