"""What a Mandarin miniature needs: a toy LLM that was taught a few Chinese answers, dialogues, and a voice."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM

from freeze_omni.llm.frozen import FrozenLLM
from tests.data.conftest import TONE_PROGRAM
from tests.toy import toy_llm

SYSTEM = "请用一句话回答。"
ANSWERS = {
    "今天是几号？": "今天是3号。",
    "车站在哪里？": "车站在5楼。",
    "一周有几天？": "一周有7天。",
    "你叫什么名字？": "我叫小明。",
}


def taught_llm(folder: Path) -> Path:
    """A toy LLM that knows the answers above by heart, and nothing else: whatever it reads, it answers in Chinese."""
    characters = sorted({*SYSTEM, *"".join([*ANSWERS, *ANSWERS.values()])})
    toy_llm(folder, hidden_size=64, texts=2 * characters)  # a token for each
    llm = FrozenLLM.load(folder)
    rows = []
    for question, answer in ANSWERS.items():
        before = llm.order.before_answer(SYSTEM, (), question)
        rows.append((before, [*llm.order.answer(answer), llm.tokenizer.eos_token_id]))
    model = AutoModelForCausalLM.from_pretrained(folder, attention_dropout=0.0)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(60):
        for before, answer in rows:
            ids = torch.tensor([before + answer])
            labels = ids.clone()
            labels[:, : len(before)] = -100
            model(input_ids=ids, labels=labels).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    model.save_pretrained(folder)
    return folder


def moss(root: Path, count: int = 60) -> Path:
    """moss-003-sft in miniature, in Chinese."""
    from tests.data.corpora.dialogue_miniatures import moss as written

    return written(root, count, tuple(ANSWERS), "答案是{}。没有别的了。")


def program(folder: Path) -> str:
    """The command line of a synthesiser of one's own: a fifth of a second of a tone for each character."""
    script = folder / "tone.py"
    script.write_text(TONE_PROGRAM.replace("800 *", "3200 *"))
    return f"{sys.executable} -S {script} {{output}}"
