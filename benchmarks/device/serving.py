"""Rows of a server: a listening step, a token of the LLM, a second of speech, first audio, sessions at the limit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from benchmarks.device.bench import Bench, Figures, percentiles
from freeze_omni.engine.config import ServingConfig
from freeze_omni.engine.metrics import quantiles
from freeze_omni.llm.cache import LlmCache
from freeze_omni.session import events as ev
from freeze_omni.session.answer import own_answers
from freeze_omni.session.history import Turn, hearing, open_turn
from freeze_omni.session.ops import DrawToken, Hear, Job, MakeSound, Op, Read, StartSpeech, execute
from freeze_omni.session.reducer import TurnDetection
from freeze_omni.session.session import SessionConfig, SpeechSession
from freeze_omni.speech_decoder.sampling import SamplingConfig
from freeze_omni.system import FreezeOmni

SEGMENT_TOKENS = 12  # LLM tokens of a spoken segment: 48 rows in the published speech decoder
QUESTION_CHUNKS = 12  # about two seconds
ANSWERS = 5
STEPS = 20
STEP_MS = 160.0


@torch.no_grad()
def streaming_step(bench: Bench) -> Figures:
    """160 ms of one user: the encoder alone; samples to positions of the LLM. States have the size of full ones."""
    model, device = bench.model, bench.device
    feats = torch.randn(1, model.rates.chunk_feats, model.rates.mel_bins, device=device)
    encoder = model.encoder.initial_state(1, device)
    hear = Hear(_chunk(model), model.listening.initial_state(1, device))
    return bench.timed("encoder_step", lambda: model.encoder.step(feats, encoder)) | bench.timed(
        "listening_step", lambda: execute(model, [hear])
    )


def llm_token(bench: Bench) -> Figures:
    """One position and the logits after it, behind `context` positions."""
    model = bench.model
    cache = _context(bench)
    read = Read(_positions(bench, 1), cache, predict=True)

    def token() -> None:
        execute(model, [read])
        cache.cut(bench.size.context)

    return {"context_positions": bench.size.context} | bench.timed("llm_token", token)


def speech_second(bench: Bench) -> Figures:
    """Reading a segment, drawing the speech tokens of a second, and the codec's sound of them."""
    model, count = bench.model, round(bench.model.rates.token_hz)
    rows = _positions(bench, SEGMENT_TOKENS).float()
    sampling = _unending(model)
    start = StartSpeech(rows, rows, sampling)
    begun = execute(model, [start])[0]
    generator = torch.Generator(bench.device).manual_seed(0)

    def draw() -> None:
        state = begun
        for _ in range(count):
            _, state = execute(model, [DrawToken(state, sampling, generator)])[0]

    sound = MakeSound(tuple(range(count)), None)
    return (
        {"speech_tokens": count}
        | bench.timed("prefill", lambda: execute(model, [start]))
        | bench.timed("speech_tokens_of_a_second", draw)
        | bench.timed("codec_of_a_second", lambda: execute(model, [sound]))
    )


def first_audio(bench: Bench) -> Figures:
    """From the question's last 160 ms to the answer's first samples, and the parts of that time; as released, the
    first segment has eight LLM tokens, and the codec begins after thirty speech tokens."""
    model, spent, parts = bench.model, list[float](), dict[str, list[float]]()
    answers = replace(own_answers(model), sampling=_unending(model))
    config = SessionConfig(turn_detection=TurnDetection.MANUAL, answers=answers)
    for run in range(1 + min(ANSWERS, bench.size.repeats)):
        session = SpeechSession(model, config)
        for _ in range(QUESTION_CHUNKS - 1):
            session.push(_chunk(model))
        found: dict[str, float] = {}
        total_ms = bench.time_ms(lambda session=session, found=found: _until_audio(bench, session, found))
        if run:  # the first of everything is slow
            spent.append(total_ms)
            for name, part_ms in found.items():
                parts.setdefault(name, []).append(part_ms)
            if bench.is_over:
                break
    medians = {f"of_it_{name}_p50_ms": round(quantiles(each)[0], 3) for name, each in parts.items()}
    return {"answers": len(spent)} | percentiles("first_audio", spent) | medians


def _until_audio(bench: Bench, session: SpeechSession, spent_ms: dict[str, float]) -> None:
    """Hear a last chunk and answer until there is sound; adds up the time of each kind of work."""
    spent_ms["listen"] = bench.time_ms(lambda: session.push(_chunk(bench.model)))
    spent_ms["respond"] = bench.time_ms(lambda: session.handle(ev.Respond()))
    answering, sounds, actions = session.answering, 0, list[ev.Action]()
    while session.answering is not None and not sounds:
        actions.clear()
        work_ms = bench.time_ms(lambda: actions.extend(session.work()))
        name = {"token": "llm", "segment": "llm"}.get(answering.milestones[-1], answering.milestones[-1])
        spent_ms[name] = spent_ms.get(name, 0.0) + work_ms
        sounds = sum(len(action.samples) for action in actions if isinstance(action, ev.PlayAudio))
    if not sounds:
        raise RuntimeError(f"the answer ended without sound, after {answering.milestones}")


def sessions_at_limit(bench: Bench) -> Figures:
    """The most sessions whose chunks, all come at the same moment, are heard within 160 ms at the 90th percentile."""
    context, seen = _context(bench), dict[int, float]()
    limited_by = "sessions tried"

    def fits(sessions: int) -> bool:
        nonlocal limited_by
        try:
            steps = _listening_steps(bench, context, sessions)
        except torch.OutOfMemoryError:
            limited_by = "memory"
            return False
        seen[sessions] = quantiles(steps)[1]
        if seen[sessions] > STEP_MS:
            limited_by = "time of a step"
        return seen[sessions] <= STEP_MS

    good, bad = 0, 1
    while bad <= bench.size.sessions and not bench.is_over and fits(bad):
        good, bad = bad, 2 * bad
    while bad <= bench.size.sessions and bad - good > max(1, good // 8) and not bench.is_over:
        middle = (good + bad) // 2
        good, bad = (middle, bad) if fits(middle) else (good, middle)
    return {
        "listening_sessions": good,
        "limited_by": "time of this row" if bench.is_over else limited_by,
        "steps_p90_ms": {sessions: round(late, 3) for sessions, late in sorted(seen.items())},
        "rows_in_a_batch": ServingConfig().max_batch,
        "context_positions": bench.size.context,
    }


def _listening_steps(bench: Bench, context: LlmCache, sessions: int) -> list[float]:
    """Milliseconds of each step of so many open turns: encoder, adapter, LLM and state head, in a server's batches."""
    model = bench.model
    opening = model.llm.order.prefix(first=True)
    turns: list[Turn] = [open_turn(model, context.fork(), opening) for _ in range(sessions)]

    def step() -> None:
        turns[:] = [turn for _, turn in together(model, [hearing(model, _chunk(model), turn) for turn in turns])]

    return bench.spent_ms(step, min(STEPS, bench.size.repeats))


def together(model: FreezeOmni, jobs: Sequence[Job[Any]]) -> list[Any]:
    """Results of jobs that ask for like operations in the same order, executed in batches of a server's size."""
    most, ops = ServingConfig().max_batch, [next(job) for job in jobs]
    while True:
        found = [one for at in range(0, len(ops), most) for one in execute(model, ops[at : at + most])]
        ended, asked = [], list[Op]()
        for job, result in zip(jobs, found, strict=True):
            try:
                asked.append(job.send(result))
            except StopIteration as end:
                ended.append(end.value)
        if not asked:
            return ended
        ops = asked


def _context(bench: Bench) -> LlmCache:
    cache = bench.model.llm.new_cache()
    execute(bench.model, [Read(_positions(bench, bench.size.context), cache)])
    return cache


def _positions(bench: Bench, count: int) -> torch.Tensor:
    """(count, E): embeddings of the LLM."""
    ids = torch.arange(count, device=bench.device) % len(bench.llm.tokenizer)
    return bench.llm.embed(ids).detach()


def _chunk(model: FreezeOmni) -> np.ndarray:
    return 0.1 * np.random.default_rng(0).standard_normal(model.rates.chunk_samples).astype(np.float32)


def _unending(model: FreezeOmni) -> SamplingConfig:
    """The model's own sampling, but random weights end no segment within its first second."""
    return replace(model.config.sampling, min_tokens_per_row=model.rates.token_hz)
