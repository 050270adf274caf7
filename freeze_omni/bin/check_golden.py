"""Compute every key of a recording (golden.npz) again, streaming and in one pass, and compare."""

import argparse
import sys
from pathlib import Path

from freeze_omni.bin.errors import USER_ERRORS
from freeze_omni.eval.runner import load_model
from freeze_omni.released.golden import TOLERANCE, check, read_recording


def main(arguments: list[str] | None = None) -> None:
    """Exits with 1 at the first key that is out of bounds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True, type=Path, help="packed model folder, such as an imported one")
    parser.add_argument("--golden", required=True, type=Path, help="recording, an npz file")
    args = parser.parse_args(arguments)
    try:
        recording = read_recording(args.golden)
        model = load_model(args.model)
        print(f"{'key':<20}{'how':<12}largest error (of the largest magnitude; ids: 0 or inf)")
        for one in check(model, recording):
            print(f"{one.key:<20}{one.how:<12}{one.error:.1e}", flush=True)
            if not one.right:
                sys.exit(f"check-golden: {one.key}, {one.how}: error {one.error:.1e} is above {TOLERANCE:.0e}")
    except (*USER_ERRORS, ValueError, IndexError, RuntimeError, OSError) as error:
        sys.exit(f"check-golden: error: {args.golden}: {error}")
    print(f"all keys of {args.golden} are within {TOLERANCE:.0e}")


if __name__ == "__main__":
    main()
