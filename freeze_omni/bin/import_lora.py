"""Turn a LoRA in peft's format into a checkpoint, whose part `llm_tuning` is packed or trained as any other."""

import argparse
from pathlib import Path

import torch
import yaml

from freeze_omni.bin.errors import user_errors
from freeze_omni.config import as_mapping
from freeze_omni.llm.frozen import FrozenLLM
from freeze_omni.llm.peft_format import read_lora
from freeze_omni.llm.source import check_source
from freeze_omni.llm.tuned import PART, LlmTuningConfig

CHECKPOINT = "lora.pth"


@user_errors(ValueError, OSError, name="import-lora")
def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lora", required=True, help="folder that peft wrote, or a hub id")
    parser.add_argument("--llm", required=True, help="folder or hub id of its LLM; no weights are read")
    parser.add_argument("--output", required=True, type=Path, help="folder to write")
    chosen = parser.parse_args(arguments)
    config, state = read_lora(chosen.lora, FrozenLLM.on_meta(check_source(chosen.llm)))
    chosen.output.mkdir(parents=True, exist_ok=True)
    described = {"model": {PART: as_mapping(LlmTuningConfig(lora=config))}}
    (chosen.output / "config.yaml").write_text(yaml.safe_dump(described, sort_keys=False), encoding="utf-8")
    torch.save({f"{PART}.{key}": weight for key, weight in state.items()}, chosen.output / CHECKPOINT)
    print(f"{chosen.output / CHECKPOINT}:{PART}")


if __name__ == "__main__":
    main()
