"""Train one stage: `python -m freeze_omni.bin.train TASK [options]`, TASK --help lists them."""

import importlib
import sys

from freeze_omni.config import ConfigError
from freeze_omni.stages import STAGES, stage
from freeze_omni.tasks.signals import Interrupted


def main(arguments: list[str] | None = None) -> None:
    """Run the task that is named first. Exits with 2 and one line on a configuration that cannot be used, with 128 +
    signal after SIGTERM or SIGUSR1: the same command goes on from the checkpoint that was written."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if not arguments or arguments[0] not in [one.name for one in STAGES]:
        lines = "\n".join(f"  {one.name:<16}stage {one.number}" for one in STAGES)
        sys.exit(f"usage: python -m freeze_omni.bin.train TASK [options]; TASK is one of\n{lines}")
    try:
        load_task(arguments[0]).main(cmd=arguments[1:])
    except ConfigError as error:
        print(f"train {arguments[0]}: error: {error}", file=sys.stderr)
        sys.exit(2)
    except Interrupted as end:
        print(f"train {arguments[0]}: error: {end}", file=sys.stderr)
        sys.exit(end.code)


def load_task(name: str) -> type:
    """The task's class. Raises ConfigError if the extra for training is not installed."""
    try:
        return getattr(importlib.import_module(f"freeze_omni.tasks.{name}"), stage(name).task)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("freeze_omni"):
            raise
        raise ConfigError(f"{error}: training needs the extra: pip install 'freeze-omni[train]'") from None


if __name__ == "__main__":
    main()
