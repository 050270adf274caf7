"""Metrics in the text format of Prometheus (version 0.0.4)."""

from __future__ import annotations

from collections.abc import Iterator

from freeze_omni.engine.metrics import QUANTILES, Report
from freeze_omni.server.router import Router

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
PREFIX = "freeze_omni_"

_DURATIONS = {
    "listen_s": ("listen_step_seconds", "From the arrival of 160 ms of audio to what was made of it."),
    "first_audio_s": ("first_audio_seconds", "From the arrival of what ended a turn to the answer's first audio."),
}
_SUMS = {
    "worked_s": ("work_seconds_total", "Time that the model has worked."),
    "heard_s": ("heard_audio_seconds_total", "Audio heard."),
    "spoken_s": ("spoken_audio_seconds_total", "Audio spoken."),
    "batches": ("batches_total", "Batches of model work."),
    "rows": ("batch_rows_total", "Operations in them."),
}


def expose(router: Router) -> str:
    """All of it, one block a metric, a label for each worker."""
    return "\n".join(_lines(router)) + "\n"


def _lines(router: Router) -> Iterator[str]:
    yield from _metric("sessions", "gauge", "Open sessions.", [("", router.sessions)])
    yield from _metric("session_limit", "gauge", "Sessions that are served in real time.", [("", router.limit)])
    refused = [(f'{{reason="{reason}"}}', count) for reason, count in sorted(router.refusals.items())]
    yield from _metric("refusals_total", "counter", "Sessions refused.", refused or [("", 0)])
    yield from _metric("lost_workers_total", "counter", "Workers that died.", [("", router.lost_workers)])
    reports = [(f'worker="{place}"', handle.report) for place, handle in enumerate(router.handles) if handle.report]
    waiting = [(f"{{{label}}}", report.waiting_chunks) for label, report in reports]
    yield from _metric("waiting_chunks", "gauge", "Queue depth: chunks of 160 ms that wait to be heard.", waiting)
    for key, (name, text) in _SUMS.items():
        yield from _metric(name, "counter", text, [(f"{{{label}}}", report.sums[key]) for label, report in reports])
    factors = [(f"{{{label}}}", _real_time_factor(report)) for label, report in reports]
    yield from _metric("real_time_factor", "gauge", "Work for a second of audio heard or spoken.", factors)
    for key, (name, text) in _DURATIONS.items():
        yield from _summary(name, text, key, reports)


def _real_time_factor(report: Report) -> float:
    audio_s = report.sums["heard_s"] + report.sums["spoken_s"]
    return report.sums["worked_s"] / audio_s if audio_s else 0.0


def _summary(name: str, text: str, key: str, reports: list[tuple[str, Report]]) -> Iterator[str]:
    yield f"# HELP {PREFIX}{name} {text} Quantiles of the last minute."
    yield f"# TYPE {PREFIX}{name} summary"
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
    for labels, value in samples:
        yield f"{PREFIX}{name}{labels} {value:.10g}"
