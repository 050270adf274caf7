"""Speech against its texts: WER and CER of what an independent recogniser hears."""

from __future__ import annotations

import argparse
from dataclasses import replace
from functools import lru_cache

from freeze_omni.config import ConfigError
from freeze_omni.data.tables import read_table, write_table
from freeze_omni.eval import paper
from freeze_omni.eval.decode.options import read_config
from freeze_omni.eval.evaluate.report import Report
from freeze_omni.eval.judge import Judge
from freeze_omni.eval.outputs import match, read_sounds
from freeze_omni.eval.speech import judged_texts
from freeze_omni.eval.tables import rate
from freeze_omni.eval.wer import error_rate


def evaluate(args: argparse.Namespace) -> Report:
    """Rows: every setting of the model (top-k, prefix), or the one set of sounds. Needs --judge."""
    if args.judge is None:
        raise ConfigError("speech is scored by a recogniser: give --judge, a folder of a CTranslate2 Whisper model")
    references = read_table(args.data / ("answer" if (args.data / "answer").is_file() else "text"))
    notes: list[str] = []
    if args.model is not None:
        from freeze_omni.eval.decode import tts

        folder = args.output / "tts"
        tts.decode(argparse.Namespace(**vars(args) | {"output": folder}))
        folders = {path.parent.name: path.parent for path in sorted(folder.glob("*/wav.scp"))}
    else:
        sounds = read_sounds(args.outputs)
        notes = match(references, sounds, args.outputs)
        folders = {"given": args.output / "tts_given"}
        write_table(folders["given"] / "wav.scp", {key: sounds[key] for key in references if key in sounds})
    config = replace(read_config(args.config).score.judge, language=args.language)
    judge = lru_cache(maxsize=1)(lambda: Judge(args.judge, config))
    figures = {}
    for name, folder in folders.items():
        heard = judged_texts(folder, config, args.judge, judge)
        said = {key: heard.get(key, "") for key in references if args.model is None or key in heard}
        texts = {key: references[key] for key in said}
        figures[name] = error_rate(texts, said, args.normaliser).as_dict()
        figures[name]["character_percent"] = error_rate(texts, said, "characters").as_dict()["percent"]
    rows = [
        [name, rate(one), f"{one['character_percent']:.2f}", str(one["utterances"])] for name, one in figures.items()
    ]
    best = paper.TTS["prefix, pre-network"]
    notes.append(f"the paper, Mandarin by paraformer-zh: CER {min(best)} at its best top-k; another judge and language")
    notes.append(f"judge: {args.judge.name}; in brackets: 95 % bootstrap interval over utterances")
    title = f"Speech output, {args.set or args.data.name}, normaliser {args.normaliser}"
    return Report(title, ["", "errors in %", "CER %", "utterances"], rows, {"tts": figures}, notes)
