"""Stage 12: figures of all decoding folders, into one JSON file (WER in percent, shares as fractions)."""

import argparse
import time
from dataclasses import asdict
from pathlib import Path

from freeze_omni.bin.errors import user_errors
from freeze_omni.bin.where import add_device, add_part, device_of
from freeze_omni.config import ConfigError
from freeze_omni.data.kaldi_dir import read_sources
from freeze_omni.eval.config import read_config
from freeze_omni.eval.judge import judge_device
from freeze_omni.eval.results import KEYS, continuous, headline, pack_sizes, stage_seconds, wall_min
from freeze_omni.eval.sets import write_json
from freeze_omni.eval.subjects import score_root
from freeze_omni.eval.tts import judge_part
from freeze_omni.provenance import provenance, without_home


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    roots = "decoding roots of one model each, by the adapter's name; the first is the default"
    parser.add_argument("--root", required=True, nargs="+", metavar="NAME=FOLDER", help=roots)
    parser.add_argument("--model", nargs="*", default=[], metavar="NAME=FOLDER", help="their packs")
    parser.add_argument("--output", required=True, type=Path, help="results/<scale>.json")
    parser.add_argument("--scale", required=True, help="name of the config scale")
    parser.add_argument("--toy", action="store_true", help="the scale is a toy: do not compare it with the paper")
    parser.add_argument("--config", type=Path, help="decode.yaml; without it, its defaults")
    parser.add_argument("--judge", type=Path, help="CTranslate2 Whisper, a folder or a hub id; none: no speech WER")
    parser.add_argument("--seen", default="asr_test_seen", help="ASR test set of known voices")
    parser.add_argument("--unseen", default="asr_test_unseen", help="ASR test set of unknown voices")
    parser.add_argument("--real", default="asr_test_real", help="ASR test set of recorded human speech")
    parser.add_argument("--unseen_qa", default="test_unseen", help="set of spoken questions by an unknown voice")
    parser.add_argument("--sources", nargs="*", default=[], type=Path, help="sources.jsonl: what the sets are made of")
    parser.add_argument("--stage_seconds", type=Path, help="folder with files seconds.<stage>")
    parser.add_argument("--fact", nargs="*", default=[], metavar="NAME=TEXT", help="store in the results")
    parser.add_argument("--seed", type=int, default=777, help="the seed of training and decoding")
    add_device(parser)
    add_part(parser)
    score(parser.parse_args(arguments))


@user_errors()
def score(chosen: argparse.Namespace) -> None:
    """Score every root and write the results; of an array of jobs, only let the judge hear a part."""
    started_s, config = time.time(), read_config(chosen.config)
    roots, packs = pairs(chosen.root), pairs(chosen.model)
    device = judge_device(device_of(chosen.device, chosen.part))
    if not chosen.part.alone:
        for folder in roots.values() if chosen.judge else ():
            judge_part(Path(folder), config, chosen.judge, device, chosen.part)
        return
    models = {}
    for name, folder in roots.items():
        judge = chosen.judge if (Path(folder) / "tts").exists() else None
        models[name] = score_root(Path(folder), config, judge, device)
        models[name]["headline"] = headline(models[name], chosen.seen, chosen.unseen, chosen.real, chosen.unseen_qa)
    stages = stage_seconds(chosen.stage_seconds)
    default = next(iter(models.values()))
    figures = default["headline"] | continuous(models, chosen.seen)
    figures |= {"wall_min": wall_min(stages, time.time() - started_s)}
    figures = {key: figures[key] for key in dict.fromkeys((*KEYS, *figures))}
    results = figures | {
        "scale": chosen.scale,
        "toy": chosen.toy,
        "models": models,
        "sizes": {name: pack_sizes(folder) for name, folder in packs.items()},
        "sources": [asdict(source) for path in chosen.sources for source in read_sources(path)],
        "stage_seconds": stages,
        "facts": pairs(list(map(without_home, chosen.fact))) | {"judge": chosen.judge.name if chosen.judge else "none"},
        "provenance": provenance(chosen.seed, started_s),
    }
    write_json(chosen.output, results)
    for key in figures:
        print(f"{key:<24}{'-' if figures[key] is None else figures[key]}")


def pairs(texts: list[str]) -> dict[str, str]:
    """Words of the form NAME=TEXT. Raises ConfigError for others."""
    for text in texts:
        if "=" not in text:
            raise ConfigError(f"'{text}': expected NAME=TEXT")
    return dict(text.split("=", 1) for text in texts)


if __name__ == "__main__":
    main()
