"""Scripted scenes of two voices, played to a packed model in closed loop: a folder of outputs for each."""

from __future__ import annotations

import argparse
import hashlib
import time
from dataclasses import replace

from freeze_omni.eval.decode import options
from freeze_omni.eval.duplex.hearing import Hearing
from freeze_omni.eval.duplex.offline import play_offline
from freeze_omni.eval.duplex.scene import FILE, read_scenes
from freeze_omni.eval.question import ask
from freeze_omni.session.answer import own_answers
from freeze_omni.session.session import SessionConfig, SpeechSession


def decode(arguments: argparse.Namespace) -> None:
    """Write <id>/ for every scene of the folder `data` (`eval/duplex/outputs.py`), and `text`, what was said."""
    started_s, config = time.time(), options.read_config(arguments.config)
    scenes = {scene.id: scene for scene in read_scenes(arguments.data)}
    script = hashlib.sha256((arguments.data / FILE).read_bytes()).hexdigest()
    records = options.open_records(arguments, (config.duplex, config.answers, script))
    todo = records.missing(scenes)
    if todo:
        model = options.load_model(arguments.model, arguments.threads, arguments.seed)
        answers = config.answers or own_answers(model)
        generation = replace(answers.generation, max_new_tokens=config.duplex.max_new_tokens)
        session = SessionConfig(answers=replace(answers, generation=generation), seed=arguments.seed)
        hz = model.rates.input_hz
        ask(model, Hearing.of(arguments.data, scenes[todo[0]], hz).heard[:hz], session, 0.0)  # first calls are slow
        for key in todo:
            hearing = Hearing.of(arguments.data, scenes[key], hz)
            talk, folder = SpeechSession(model, session), arguments.output / key
            line = play_offline(talk, model.rates, hearing, folder, config.duplex.pace)
            records.add([{"id": key, "text": " ".join(line.text.split())}])
            options.progress("duplex", len(records.found), len(scenes), started_s)
    options.finish(arguments, {key: records.found[key]["text"] for key in scenes}, started_s)
