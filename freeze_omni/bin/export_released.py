"""Write a packed model in the layout of the published checkpoints; what that cannot express is refused."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from freeze_omni.eval.decode.options import USER_ERRORS, load_model
from freeze_omni.released.export import write_released


def main(arguments: list[str] | None = None) -> None:
    """Exits with 1 and every reason where the layout cannot hold the model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True, type=Path, help="packed model folder")
    parser.add_argument("--output", required=True, type=Path, help="folder to write")
    args = parser.parse_args(arguments)
    try:
        model = load_model(args.model)
        left_behind = write_released(model, args.output)
    except (*USER_ERRORS, ValueError, OSError) as error:
        sys.exit(f"export-released: error: {error}")
    print("".join(f"left behind: {line}\n" for line in left_behind), end="")
    if model.config.notice:
        print(f"licence: {model.config.notice}")
    print(f"wrote {args.output}")


if __name__ == "__main__":
    main()
