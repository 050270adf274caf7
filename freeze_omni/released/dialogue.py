"""The published dialogue part (`audiollm/`): prompts, state head and chat template (see `llm.chat`) in our names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from freeze_omni.config import read_yaml
from freeze_omni.duplex.state_head import STATES, StateHead, StateHeadConfig
from freeze_omni.llm.chat import ChatTexts
from freeze_omni.released.files import ReleasedError, check_shapes, checked, taken
from freeze_omni.released.listen import read_listen_config

AUDIO, END = "<audio>", "<|im_end|>"
HEADER = re.compile(r"((?:<\|im_start\|>system\n)?)(.*)", re.DOTALL)
UNUSED = "task_embeddings.weight"  # of stage 1.2; not read at inference


@dataclass(frozen=True)
class ReleasedDialogue:
    """prompt.weight (N, E); state_head; texts: the template's pieces; system: the text of the system turn."""

    prompt: nn.Embedding
    state_head: StateHead
    texts: ChatTexts
    system: str


def read_dialogue(folder: str | Path, others: Mapping[str, Tensor]) -> ReleasedDialogue:
    """Prompt, state head and template of an `audiollm` folder; `others`: the tensors that `read_listen` leaves over.

    Raises ReleasedError, with the file, for tensors or a template that are not of this layout.
    """
    folder = Path(folder)
    path = folder / "final.pt"
    config = read_listen_config(folder / "train.yaml")
    size = config.llm_size
    shapes = {
        "prompt_embeddings.weight": (config.prompt, size),
        "predictor_head.weight": (STATES + 1, size),
        "predictor_head.bias": (STATES + 1,),
    }
    if missing := sorted(set(shapes) - set(others)):
        raise ReleasedError(f"{path}: tensors are missing: {', '.join(missing)}")
    if unknown := sorted(set(others) - set(shapes) - {UNUSED}):
        raise ReleasedError(f"{path}: tensors have no place in the model: {', '.join(unknown)}")
    with checked(path):
        check_shapes({name: others[name] for name in shapes}, shapes, "train.yaml")
    head = StateHead(StateHeadConfig(summary=False, released=True), size)
    head.output.load_state_dict({name: taken(others[f"predictor_head.{name}"]) for name in ("weight", "bias")})
    prompt = nn.Embedding.from_pretrained(taken(others["prompt_embeddings.weight"]))
    texts, system = read_texts(folder / "train.yaml")
    return ReleasedDialogue(prompt, head.eval(), texts, system)


def read_texts(path: str | Path) -> tuple[ChatTexts, str]:
    """`chat_template` of train.yaml, cut at `<audio>` and at the ends of turns; and the system text in it."""
    try:
        template = read_yaml(path)["model_conf"]["chat_template"]
        role, rest = template.split(END, 1)
        prefix, suffix = rest.split(AUDIO)
    except (AttributeError, KeyError, TypeError, ValueError):
        raise ReleasedError(f"{path}: its chat_template is not 'role{END}prefix{AUDIO}suffix'") from None
    head, text = HEADER.fullmatch(role).groups()
    if text != text.strip():  # what a system text of another form would lose
        head, text = role, ""
    return ChatTexts(head, END + prefix, suffix, END + prefix), text


def chat_template(texts: ChatTexts, system: str) -> str:
    """The inverse of `read_texts`. Raises ValueError for a template that the published layout cannot hold."""
    if texts.after_system != texts.between:
        raise ValueError("the LLM's chat template opens the first user turn otherwise than later ones")
    template = f"{texts.before_system}{system.strip()}{texts.after_system}{AUDIO}{texts.user_suffix}"
    role, end, _ = template.partition(END)
    if not end or not texts.after_system.startswith(END) or role != texts.before_system + system.strip():
        raise ValueError(f"turns of the LLM's chat template do not end in {END}")
    return template


def to_released(prompt: nn.Embedding, state_head: StateHead) -> dict[str, Tensor]:
    """Their names for our prompt and state head. Raises ValueError: the head reads summaries, has a hidden
    layer or a fourth state."""
    if state_head.config.summary:
        raise ValueError("the published layout has no chunk summary: train with summary: false")
    if state_head.config.hidden:
        raise ValueError("the published state head is one linear layer: train with hidden: 0")
    if state_head.config.wait:
        raise ValueError("the published state head has three states: train with wait: false")
    weight, bias = state_head.output.weight.detach(), state_head.output.bias.detach()
    rows = STATES + 1 - len(weight)  # the fourth logit, which is always left out
    return {
        "prompt_embeddings.weight": prompt.weight.detach(),
        "predictor_head.weight": torch.cat([weight, weight.new_zeros(rows, weight.shape[1])]),
        "predictor_head.bias": torch.cat([bias, bias.new_zeros(rows)]),
    }
