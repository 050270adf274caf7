"""Write a packed model in the layout of the published checkpoints, or list what the layout cannot express."""

import argparse
from pathlib import Path

from freeze_omni.bin.errors import user_errors
from freeze_omni.eval.runner import load_model
from freeze_omni.released.export import write_released


@user_errors(ValueError, OSError, name="export-released")
def main(arguments: list[str] | None = None) -> None:
    """Exits with 1 and every reason if the layout cannot hold the model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True, type=Path, help="packed model folder")
    parser.add_argument("--output", required=True, type=Path, help="folder to write")
    args = parser.parse_args(arguments)
    model = load_model(args.model)
    left_out = write_released(model, args.output)
    print("".join(f"left out: {line}\n" for line in left_out), end="")
    if model.config.notice:
        print(f"licence: {model.config.notice}")
    print(f"wrote {args.output}")


if __name__ == "__main__":
    main()
