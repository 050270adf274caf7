"""Compose scripted scenes of two voices for `freeze-omni eval duplex --scenes` (docs/duplex_evaluation.md).

    freeze-omni duplex-scenes --data dump/dialogue/test data/duplex_test --output dump/duplex_scenes --count 10

Utterances whose ids begin with backchannel- or side- are that; all others are questions of a user.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from freeze_omni.data.dialogue import read_recordings
from freeze_omni.data.tables import TableError
from freeze_omni.eval.decode.options import run
from freeze_omni.eval.duplex.compose import PREFIXED, Composer, Pools
from freeze_omni.eval.duplex.scene import KINDS


def main(arguments: list[str] | None = None) -> None:
    """Exits with one line where something cannot be read."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, nargs="+", type=Path, help="Kaldi directories: wav.scp, text, utt2spk")
    parser.add_argument("--output", required=True, type=Path, help="folder of scenes")
    parser.add_argument("--count", type=int, default=10, help="scenes of each kind")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, help="kinds of scenes; all that --data can make")
    parser.add_argument("--seed", type=int, default=777)
    run(compose, parser.parse_args(arguments))


def compose(chosen: argparse.Namespace) -> None:
    """Write the folder, say what is in it and what was left out. Raises TableError."""
    pools = Pools([recording for folder in chosen.data for recording in read_recordings(folder)])
    for kind in chosen.kinds or ():
        if kind not in pools.kinds():
            raise TableError(f"--data: no utterance {kind}-* for scenes of kind '{kind}'; add a directory with some")
    kinds = chosen.kinds or pools.kinds()
    scenes = Composer(pools).write(chosen.output, kinds, chosen.count, chosen.seed)
    seconds = sum(scene.seconds for scene in scenes)
    print(f"{chosen.output}: {len(scenes)} scenes, {chosen.count} each of {', '.join(kinds)}; {seconds:.0f} s")
    for kind in [kind for kind in PREFIXED if kind not in pools.kinds()]:
        print(f"no {kind} scenes: --data has no utterance whose id begins with {kind}-")


if __name__ == "__main__":
    main()
