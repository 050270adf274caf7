"""The published dialogue part (`audiollm/`): prompts, state head and chat template in our names.

The arithmetic of a turn is ours: system text without its end token; end token, prefix, prompt and
speech; suffix and answer (see `freeze_omni.llm.chat`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from freeze_omni.config import read_yaml
from freeze_omni.duplex.state_head import STATES, StateHead, StateHeadConfig
from freeze_omni.llm.chat import ChatTemplate, ChatTexts

AUDIO, END = "<audio>", "<|im_end|>"
UNUSED = "task_embeddings.weight"  # of stage 1.2; not read at inference


@dataclass(frozen=True)
class ReleasedDialogue:
    """prompt.weight (N, E); state_head; texts: the template's pieces; system: the role text that
    stands in `texts.before_system` already, so nothing is to be put behind it."""

    prompt: nn.Embedding
    state_head: StateHead
    texts: ChatTexts

    def chat(self, tokenizer: Any) -> ChatTemplate:
        """The template with a tokenizer; `system("")` gives the ids of the system turn."""
        return ChatTemplate(tokenizer, self.texts)


def read_dialogue(folder: str | Path, others: Mapping[str, Tensor]) -> ReleasedDialogue:
    """Prompt, state head and template of an `audiollm` folder.

    others: the tensors that `freeze_omni.released.listen.read_listen` leaves over.
    Raises ValueError, with the file, for tensors or a template that are not of this layout.
    """
    folder = Path(folder)
    path = folder / "final.pt"
    needed = {"prompt_embeddings.weight", "predictor_head.weight", "predictor_head.bias"}
    if missing := sorted(needed - set(others)):
        raise ValueError(f"{path}: tensors are missing: {', '.join(missing)}")
    if unknown := sorted(set(others) - needed - {UNUSED}):
        raise ValueError(f"{path}: tensors have no place in the model: {', '.join(unknown)}")
    weight = others["predictor_head.weight"]
    if len(weight) != STATES + 1:
        raise ValueError(f"{path}: a state head of {len(weight)} logits, only 4 are known")
    head = StateHead(StateHeadConfig(summary=False, released=True), weight.shape[1])
    head.output.load_state_dict({"weight": weight, "bias": others["predictor_head.bias"]})
    with torch.no_grad():
        prompt = nn.Embedding.from_pretrained(others["prompt_embeddings.weight"])
    return ReleasedDialogue(prompt, head.eval(), read_texts(folder / "train.yaml"))


def read_texts(path: str | Path) -> ChatTexts:
    """`chat_template` of train.yaml, cut at `<audio>` and at the end of the role text."""
    try:
        template = read_yaml(path)["model_conf"]["chat_template"]
        role, rest = template.split(END, 1)
        prefix, suffix = rest.split(AUDIO)
    except (KeyError, ValueError):
        raise ValueError(
            f"{path}: its chat_template is not 'role{END}prefix{AUDIO}suffix'"
        ) from None
    return ChatTexts(role, END + prefix, suffix, END + prefix)


def to_released(prompt: nn.Embedding, state_head: StateHead) -> dict[str, Tensor]:
    """Their names for our prompt and state head.

    A head of three logits gets a fourth that is always left out. Raises ValueError for a head that
    reads summaries, which the published layout cannot hold.
    """
    if state_head.config.summary:
        raise ValueError("the published layout has no chunk summary: train with summary: false")
    weight, bias = state_head.output.weight.detach(), state_head.output.bias.detach()
    rows = STATES + 1 - len(weight)
    return {
        "prompt_embeddings.weight": prompt.weight.detach(),
        "predictor_head.weight": torch.cat([weight, weight.new_zeros(rows, weight.shape[1])]),
        "predictor_head.bias": torch.cat([bias, bias.new_zeros(rows)]),
    }
