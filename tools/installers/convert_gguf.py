#!/usr/bin/env python3
"""Convert a GGUF language model to an ordinary transformers folder (safetensors), and check it.

transformers reads GGUF slowly and marks the model as quantised; the folder loads in a moment
and is plain. The check loads the folder anew and asks it a question.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging

QUESTION, ANSWER = "What is the capital of France?", "Paris"


def convert(gguf: Path, target: Path) -> None:
    """Write model, configuration and tokenizer of `gguf` to the folder `target`, in float32."""
    source = {"pretrained_model_name_or_path": str(gguf.parent), "gguf_file": gguf.name}
    tokenizer = AutoTokenizer.from_pretrained(**source)
    loaded = AutoModelForCausalLM.from_pretrained(**source, dtype=torch.float32)
    settings = loaded.config.to_dict()
    settings.pop("quantization_config", None)
    settings["dtype"] = "float32"
    settings["architectures"] = [type(loaded).__name__]
    config = AutoConfig.for_model(settings.pop("model_type"), **settings)
    plain = type(loaded)(config)
    plain.load_state_dict(loaded.state_dict())
    plain.tie_weights()
    plain.generation_config.eos_token_id = tokenizer.eos_token_id
    plain.generation_config.pad_token_id = tokenizer.pad_token_id
    plain.save_pretrained(target)
    tokenizer.save_pretrained(target)


def answer(folder: Path, question: str) -> str:
    """The model's greedy answer to `question`, from the folder alone."""
    tokenizer = AutoTokenizer.from_pretrained(str(folder))
    model = AutoModelForCausalLM.from_pretrained(str(folder), dtype=torch.float32).eval()
    if getattr(model.config, "quantization_config", None) is not None:
        raise ValueError(f"{folder}/config.json still says that the model is quantised")
    prompt = tokenizer.apply_chat_template(
        [{"role": "user", "content": question}],
        add_generation_prompt=True,
        return_tensors="pt",
        return_dict=True,
    )
    with torch.inference_mode():
        out = model.generate(**prompt, max_new_tokens=24, do_sample=False)
    return tokenizer.decode(out[0, prompt["input_ids"].shape[1] :], skip_special_tokens=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("gguf", type=Path)
    parser.add_argument("target", type=Path)
    args = parser.parse_args()
    logging.disable_progress_bar()
    convert(args.gguf, args.target)
    text = answer(args.target, QUESTION)
    print(f"{QUESTION} -> {text}")
    if ANSWER not in text:
        sys.exit(f"{args.target}: the converted model does not answer {ANSWER!r}")


if __name__ == "__main__":
    main()
