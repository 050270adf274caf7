"""Train one stage: `python -m freeze_omni.bin.train TASK [options]`, TASK --help lists them."""

from __future__ import annotations

import importlib
import sys

from freeze_omni.config import ConfigError

# task: (paper stage, module, class)
TASKS = {
    "encoder": ("1.1", "encoder", "EncoderTask"),
    "adapter": ("1.2", "adapter", "AdapterTask"),
    "dialogue": ("1.3", "dialogue", "DialogueTask"),
    "codec": ("2.1", "codec", "CodecTask"),
    "speech_decoder": ("2.2", "speech_decoder", "SpeechDecoderTask"),
    "prefix": ("2.3", "prefix", "PrefixTask"),
}


def main(arguments: list[str] | None = None) -> None:
    """Run the task that is named first. Exits with 2 and one line on a configuration that cannot be used."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if not arguments or arguments[0] not in TASKS:
        stages = "\n".join(f"  {name:<16}stage {stage}" for name, (stage, _, _) in TASKS.items())
        sys.exit(f"usage: python -m freeze_omni.bin.train TASK [options]; TASK is one of\n{stages}")
    try:
        task = load_task(arguments[0])
        task.main(cmd=arguments[1:])
    except ConfigError as error:
        print(f"train {arguments[0]}: error: {error}", file=sys.stderr)
        sys.exit(2)


def load_task(name: str) -> type:
    """The task's class. Raises ConfigError where the extra for training is not installed."""
    _, module, class_name = TASKS[name]
    try:
        return getattr(importlib.import_module(f"freeze_omni.tasks.{module}"), class_name)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("freeze_omni"):
            raise
        raise ConfigError(f"{error}: training needs the extra: pip install 'freeze-omni[train]'") from None


if __name__ == "__main__":
    main()
