"""Two turns of the published dialogue: state probabilities, answers and hidden states."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from freeze_omni.llm.chat import ChatTemplate
from freeze_omni.llm.frozen import FrozenLLM
from freeze_omni.llm.generate import GenerationConfig, generate
from freeze_omni.released.dialogue import read_dialogue, read_texts, to_released
from freeze_omni.released.listen import read_listen

ROOT = Path(os.environ.get("FREEZE_OMNI_GOLDEN", Path(__file__).parents[3] / "shared" / "golden"))
pytestmark = pytest.mark.skipif(not ROOT.is_dir(), reason="no golden recordings (FREEZE_OMNI_GOLDEN)")
MOST_TOKENS = 24


@pytest.fixture(params=["a", "b"])
def golden(request):
    root = ROOT / request.param
    _, _, others = read_listen(root / "checkpoints" / "audiollm")
    dialogue = read_dialogue(root / "checkpoints" / "audiollm", others)
    tokenizer = AutoTokenizer.from_pretrained(root / "llm")
    model = AutoModelForCausalLM.from_pretrained(root / "llm", dtype=torch.float32)
    llm = FrozenLLM(model, tokenizer, chat=ChatTemplate(tokenizer, dialogue.texts))
    with np.load(root / "golden.npz") as file:
        recorded = {key: torch.from_numpy(file[key]) for key in file if file[key].ndim}
    return dialogue, others, llm, recorded


def close(found, expected):
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4 * float(expected.abs().max()))


@torch.no_grad()
def test_two_turns_are_as_recorded(golden):
    dialogue, _, llm, recorded = golden
    cache, states = llm.new_cache(), []

    def read(positions):
        hidden = llm(positions[None], cache=cache)[0][0, -1]
        return hidden, dialogue.state_head(hidden).softmax(-1)

    def ids(tokens):
        return llm.embed(torch.tensor(tokens))

    states.append(read(ids(llm.chat.system(dialogue.system)))[1])
    for turn in range(2):
        opening = [ids(llm.chat.user_prefix(first=turn == 0)), dialogue.prompt.weight]
        for speech in recorded["adapter_out"].split(2):
            states.append(read(torch.cat([*opening, speech]))[1])
            opening = []
        last, _ = read(ids(llm.chat.user_suffix()))
        made = list(generate(llm, last, cache, GenerationConfig(max_new_tokens=MOST_TOKENS)))
        assert [token for token, _ in made] == recorded[f"round{turn}_ids"].tolist()
        close(torch.stack([hidden for _, hidden in made]), recorded[f"round{turn}_hidden"])
    close(torch.stack(states), recorded["state_probs"])


def test_written_back_the_tensors_are_the_same(golden):
    dialogue, others, _, _ = golden
    written = to_released(dialogue.prompt, dialogue.state_head)
    assert all(torch.equal(value, others[key]) for key, value in written.items())
    assert set(others) - set(written) == {"task_embeddings.weight"}


def test_tensors_of_another_layout_are_errors(golden):
    _, others, _, _ = golden
    folder = ROOT / "a" / "checkpoints" / "audiollm"
    with pytest.raises(ValueError, match="missing: predictor_head.bias"):
        read_dialogue(folder, {k: v for k, v in others.items() if not k.endswith("bias")})
    with pytest.raises(ValueError, match="no place in the model: extra"):
        read_dialogue(folder, others | {"extra": torch.zeros(1)})


def test_a_template_of_another_form_is_an_error(tmp_path):
    (tmp_path / "train.yaml").write_text("model_conf: {chat_template: hello}\n")
    with pytest.raises(ValueError, match="train.yaml"):
        read_texts(tmp_path / "train.yaml")
