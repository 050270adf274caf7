"""Compose scripted scenes of two voices for `freeze-omni eval duplex --scenes` (docs/evaluation.md).

    freeze-omni duplex-scenes --data dump/dialogue/duplex_test --output dump/duplex_scenes --count 10
    freeze-omni duplex-scenes --data data/questions data/others --output scenes

Dialogue sets of stage 4 know their kinds of sound. In other directories utterances whose ids begin with backchannel-,
side- or wait- are of that kind, those with filler- are said in pauses; all others are a user's questions.
"""

import argparse
from pathlib import Path

from freeze_omni.bin.errors import user_errors
from freeze_omni.config import build, read_yaml
from freeze_omni.data.tables import TableError
from freeze_omni.duplex.scenes import NAMED
from freeze_omni.eval.duplex.compose import ComposeConfig, Composer, Pools, read_sounds
from freeze_omni.eval.duplex.scene import KINDS


@user_errors()
def main(arguments: list[str] | None = None) -> None:
    """Write the folder; print what is in it and what was left out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    data = "Kaldi directories (wav.scp, text) or dialogue sets"
    parser.add_argument("--data", required=True, nargs="+", type=Path, help=data)
    parser.add_argument("--output", required=True, type=Path, help="folder of scenes")
    parser.add_argument("--count", type=int, default=10, help="scenes of each kind")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, help="kinds of scenes; default: all that --data can make")
    parser.add_argument("--config", type=Path, help="YAML of ranges: freeze_omni/eval/duplex/compose.py")
    parser.add_argument("--seed", type=int, default=777)
    chosen = parser.parse_args(arguments)
    config = build(ComposeConfig, read_yaml(chosen.config), str(chosen.config)) if chosen.config else None
    pools = Pools([sound for folder in chosen.data for sound in read_sounds(folder)])
    for kind in chosen.kinds or ():
        if kind not in pools.kinds():
            raise TableError(f"--data: no utterance {kind}-* for scenes of kind '{kind}'; add a directory with some")
    kinds = chosen.kinds or pools.kinds()
    scenes = Composer(pools, config).write(chosen.output, kinds, chosen.count, chosen.seed)
    seconds = sum(scene.seconds for scene in scenes)
    print(f"{chosen.output}: {len(scenes)} scenes, {chosen.count} each of {', '.join(kinds)}; {seconds:.0f} s")
    for kind in [kind for kind in NAMED if kind not in pools.kinds()]:
        print(f"no {kind} scenes: --data has no utterance {kind}-*")


if __name__ == "__main__":
    main()
