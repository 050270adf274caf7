"""Metrics in the text format of Prometheus (version 0.0.4)."""

from __future__ import annotations

from collections.abc import Iterator

from freeze_omni.engine.metrics import DURATIONS, QUANTILES, SUMS, Report
from freeze_omni.server.router import Router

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
PREFIX = "freeze_omni_"


def expose(router: Router) -> str:
    """All of it, one block a metric, a label for each worker."""
    return "".join(f"{line}\n" for line in _lines(router))


def _lines(router: Router) -> Iterator[str]:
    yield from _metric("sessions", "gauge", "Open sessions.", [("", router.sessions)])
    yield from _metric("session_limit", "gauge", "Sessions that are served in real time.", [("", router.limit)])
    refused = [(f'reason="{reason}"', count) for reason, count in sorted(router.refusals.items())]
    yield from _metric("refusals_total", "counter", "Sessions refused.", refused or [("", 0)])
    yield from _metric("lost_workers_total", "counter", "Workers that died.", [("", router.lost_workers)])
    reports = [(f'worker="{place}"', handle.report) for place, handle in enumerate(router.handles) if handle.report]
    waiting = [(label, report.waiting_chunks) for label, report in reports]
    yield from _metric("waiting_chunks", "gauge", "Queue depth: chunks of 160 ms that wait to be heard.", waiting)
    for key, (name, text) in SUMS.items():
        yield from _metric(name, "counter", text, [(label, report.sums[key]) for label, report in reports])
    factors = [(label, _real_time_factor(report)) for label, report in reports]
    yield from _metric("real_time_factor", "gauge", "Work for a second of audio heard or spoken.", factors)
    for key, (name, text) in DURATIONS.items():
        yield from _summary(name, text, key, reports)


def _real_time_factor(report: Report) -> float:
    audio_s = report.sums["heard_s"] + report.sums["spoken_s"]
    return report.sums["worked_s"] / audio_s if audio_s else 0.0


def _summary(name: str, text: str, key: str, reports: list[tuple[str, Report]]) -> Iterator[str]:
    yield from _metric(name, "summary", f"{text} Quantiles of the last minute.", [])
    for label, report in reports:
        found = report.durations[key]
        for quantile, value in zip(QUANTILES, found.quantiles, strict=True):
            shown = "NaN" if value is None else f"{value:.6g}"
            yield f'{PREFIX}{name}{{{label},quantile="{quantile}"}} {shown}'
        yield f"{PREFIX}{name}_sum{{{label}}} {found.total_s:.6g}"
        yield f"{PREFIX}{name}_count{{{label}}} {found.count}"


def _metric(name: str, kind: str, text: str, samples: list[tuple[str, float]]) -> Iterator[str]:
    yield f"# HELP {PREFIX}{name} {text}"
    yield f"# TYPE {PREFIX}{name} {kind}"
    for label, value in samples:
        yield f"{PREFIX}{name}{{{label}}} {value:.10g}" if label else f"{PREFIX}{name} {value:.10g}"
