"""The measures of serving as a table: aligned for a terminal, and as the generated part of a document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from freeze_omni.eval.report import table
from freeze_omni.provenance import processor

NONE = "none"
ROWS: Mapping[str, Sequence[tuple[str, str, str]]] = {
    "throughput": (
        ("batch8_speedup", "audio of 8 sessions in a batch, over one by one", ">= 3"),
        ("outputs_identical", "a session says the same in a batch as alone", "yes"),
        ("audio_s", "audio heard and spoken, s", ""),
        ("alone_s", "one by one, s", ""),
        ("together_s", "together, s", ""),
    ),
    "memory": (
        ("sessions_come_and_gone", "sessions opened, spoken to and closed", "1000"),
        ("growth_kb_per_session", "growth of memory by each, KB", "about 0"),
        ("growth_mb", "growth by all, MB", "about 0"),
        ("idle_kb", "an idle session, KB", ""),
        ("cache_kb", "room of its caches, KB; takes memory as it fills", ""),
        ("idle_over_caches", "an idle session over that room", "at most about 1"),
    ),
    "limit": (
        ("admission_limit", "sessions admitted", ""),
        ("step_p50_ms_at_limit", "listening step at this limit, median, ms", ""),
        ("step_p90_ms_at_limit", "the same, 90th percentile, ms", "< 160"),
        ("waiting_chunks_most", "most chunks that waited to be heard", ""),
        ("turns_answered", "turns answered", ""),
        ("first_audio_ms", "first audio after a turn, average / 50 % / 90 %, ms", ""),
        ("stutters", "gaps inside answers", "0"),
        ("users_failed", "sessions that the server ended", NONE),
        ("one_more_refused", "one session more is refused with", "server_full"),
        ("one_more_refused_ms", "after, ms", "at once"),
    ),
    "faults": (
        ("fault_minutes", "minutes with faults", "30"),
        ("crashes", "crashes", "0"),
        ("cross_talk", "sessions that got another's marker word", "0"),
        ("other_answers", "sessions answered differently than alone", "0"),
        ("stuck", "stuck sessions", "0"),
        ("same_answers_after", "the same answers afterwards", "yes"),
        ("good_turns", "turns of the good users", ""),
        ("markers_heard", "of their markers, heard by the model", ""),
        ("refused", "refusals, tried again", ""),
        ("kills", "workers killed", ""),
        ("hangs", "workers that were stopped, and hung", ""),
        ("recordings_cut", "recordings that met a full disk", ""),
        ("rebuilt_sessions", "sessions that went on after it", ""),
        ("ended_sessions", "sessions ended, as two workers were lost that worked for them", ""),
        ("bad_clients", "bad clients", ""),
        (
            "stalled_client_cost",
            "time to an answer next to a stalled client, over that next to one that reads",
            "about 1",
        ),
    ),
    "official": (
        ("realtime_client_scenarios", "scenarios of the `openai` client that went through", "4"),
        ("faults", "those that did not", NONE),
        ("openai", "its version", ""),
    ),
}


def rows(found: Mapping[str, Any]) -> list[tuple[str, str, str, str]]:
    """(part, measure, value, aim) of what was measured; found: serving.json."""
    return [
        (part, what, shown(found[part][key]), aim)
        for part, lines in ROWS.items()
        for key, what, aim in lines
        if part in found and key in found[part]
    ]


def shown(value: Any) -> str:
    """A value as the table has it."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping) and "p50" in value:
        return " / ".join(shown(value.get(name)) for name in ("average", "p50", "p90"))
    if isinstance(value, Mapping):
        return ", ".join(f"{name.replace('_', ' ')} {shown(part)}" for name, part in value.items()) or NONE
    if isinstance(value, list | tuple):
        return ", ".join(map(shown, value)) or NONE
    return f"{value:,}" if isinstance(value, int) else str(value)


def plain(found: Mapping[str, Any]) -> str:
    """For a terminal: columns under one another, a blank line between parts."""
    lines = [("part", "measure", "value", ""), *rows(found)]
    widths = [max(len(line[column]) for line in lines) for column in (0, 1)]
    text: list[str] = []
    for number, (part, what, value, aim) in enumerate(lines):
        if number > 1 and part != lines[number - 1][0]:
            text.append("")
        text.append(f"{part:<{widths[0]}}  {what:<{widths[1]}}  {value}{f'  (aim: {aim})' if aim else ''}")
    return "\n".join(text)


def markdown(found: Mapping[str, Any]) -> str:
    """For a document: the table, and how each part was measured."""
    lines = ["## Serving", "", *table(("part", "measure", "found", "aim"), rows(found))]
    for part in ROWS:
        if part in found:
            lines.append(f"- {part}: {_origin(found[part]['made'])}")
    return "\n".join(lines)


def _origin(made: Mapping[str, Any]) -> str:
    machine = made["machine"]
    where = f"{processor(machine)}, {machine['memory_gb']} GB"
    return f"`{made['command']}`, commit {made['commit']}, {where}, torch {made['versions']['torch']}, {made['date']}"
