"""Write the LoRA of a packed model in peft's format."""

import argparse
from pathlib import Path

from freeze_omni.bin.errors import user_errors
from freeze_omni.config import ConfigError
from freeze_omni.llm.peft_format import write_lora
from freeze_omni.llm.tuned import PART, Lora
from freeze_omni.pack import load


@user_errors(ValueError, OSError, name="export-lora")
def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True, type=Path, help="packed model: a folder or a hub id")
    parser.add_argument("--output", required=True, type=Path, help="folder to write")
    chosen = parser.parse_args(arguments)
    model = load(chosen.model)
    if not model.config.has(PART) or model.config.llm_tuning.lora is None:
        raise ConfigError(f"{chosen.model}: has no LoRA: it was trained without llm_tuning.lora")
    lora: Lora = model.llm_tuning
    print(write_lora(chosen.output, lora, model.config.llm_tuning.lora, model.llm.plain))


if __name__ == "__main__":
    main()
