"""A pass through the LLM, and targets of stages 1.2 and 1.3: transcripts, answers, and what the same LLM says that
reads the question."""

from __future__ import annotations

import shutil

import pytest
import torch

from freeze_omni.bin.train import load_task
from freeze_omni.config import ConfigError, build
from freeze_omni.llm.frozen import FrozenLLM
from freeze_omni.llm.tuned import build_tuning, tuned
from freeze_omni.shapes import pad_rows
from freeze_omni.tasks.adapter import AdapterModelConfig
from freeze_omni.tasks.llm_pass import TurnIds, answer_turn, divergence, join, predicting, text_loss, with_end
from tests.tasks.corpus import ENCODER
from tests.toy import TUNINGS, as_if_learned


@pytest.fixture(scope="module")
def llm(toy):
    return FrozenLLM.load(toy.folder / "llm")


@pytest.fixture
def turn(llm):
    """Two rows, of which one is answered."""
    chat = llm.chat
    context = torch.tensor(chat.system("Be kind.") + chat.user_prefix())
    questions = pad_rows([torch.tensor(chat.user_text(text)) for text in ("Hello Anna", "What is a cow?")], value=-1)
    answers = pad_rows([torch.tensor(llm.tokenizer("Paris, please!")["input_ids"]), torch.tensor([]).long()], value=-1)
    return TurnIds((context.expand(2, -1), torch.full((2,), len(context))), questions, answers)


def embedded(llm, piece):
    return llm.embed(piece[0].clamp(min=0)), piece[1]


def test_who_hears_what_the_teacher_reads_has_nothing_to_learn(llm, turn):
    heard = embedded(llm, turn.question)
    _, stats, _ = answer_turn(llm, turn, [heard], kl_weight=0.5)
    assert float(stats["kl"]) == pytest.approx(0, abs=1e-6) and stats["loss_answer"] > 0
    noisy = (torch.randn_like(heard[0]).requires_grad_(), heard[1])
    loss, stats, written = answer_turn(llm, turn, [noisy], kl_weight=0.5)
    assert loss.item() == pytest.approx((stats["loss_answer"] + 0.5 * stats["kl"]).item()) and stats["kl"] > 0.01
    assert len(written.targets) == int(turn.answer[1][0]) + 1  # the end token, and nothing of the silent row
    stats["kl"].backward()
    assert noisy[0].grad[0].abs().sum() > 0 and noisy[0].grad[1].abs().sum() == 0


def test_the_teacher_is_the_llm_as_it_was(llm, turn):
    changed = tuned(llm, as_if_learned(build_tuning(TUNINGS["lora"], llm)))
    _, stats, _ = answer_turn(changed, turn, [embedded(llm, turn.question)], kl_weight=1.0)
    assert stats["kl"] > 1e-3


def test_the_divergence_is_that_of_the_distributions():
    teacher, student = torch.tensor([[0.0, 1.0], [2.0, 0.0]]), torch.tensor([[0.0, 0.0], [2.0, 0.0]])
    p = teacher[0].softmax(-1)
    expected = (p * (p / 0.5).log()).sum() / 2  # the second token agrees
    assert float(divergence(teacher, student)) == pytest.approx(float(expected), rel=1e-5)
    assert divergence(teacher[:0], student[:0]) == 0


def test_the_divergence_is_a_part_of_the_loss_of_stage_1_3(toy):
    plain, args = toy.build("1.3")
    batch = toy.batch("1.3", args)
    taught, _ = toy.build("1.3", model={"prompt": 5, "kl_weight": 2.0})
    taught.load_state_dict(plain.state_dict())
    loss, stats, _ = taught.eval()(**batch)
    assert (loss - plain.eval()(**batch)[0]).item() == pytest.approx(2 * stats["kl"].item(), rel=1e-4)
    assert stats["kl"] > 0


def test_stage_1_2_learns_from_answers(toy):
    answers = {"adapter": {"conv": {}}, "targets": "answers", "kl_weight": 1.0}
    model, args = toy.build("1.2_conv", model=answers, system="Be kind.")
    batch = toy.batch("1.2_conv", args)
    loss, stats, _ = model.train()(**batch)
    assert loss.item() == pytest.approx((stats["loss_answer"] + stats["kl"]).item(), rel=1e-5)
    loss.backward()
    for part in (model.encoder, model.adapter, model.task_tokens):
        assert sum(float(weight.grad.abs().sum()) for weight in part.parameters() if weight.grad is not None) > 0
    others = batch | {"text": torch.ones_like(batch["text"])}  # which is no target now
    assert model.eval()(**batch)[1]["loss_answer"] == model(**others)[1]["loss_answer"]


def test_transcripts_of_turns_without_an_answer_are_no_targets_of_the_ctc_head(toy):
    model, args = toy.build("1.2_ctc", model={"adapter": {"ctc": {}}, "targets": "answers", "ctc_weight": 1.0})
    batch, silent = toy.batch("1.2_ctc", args), slice(1, None, 2)
    others = batch | {"units": batch["units"].clone()}
    others["units"][silent] = 1
    assert model.eval()(**batch)[1]["loss_ctc"] == model(**others)[1]["loss_ctc"] > 0
    assert model(**{name: value[silent] for name, value in batch.items()})[1]["loss_ctc"] == 0


@pytest.mark.parametrize(
    ("name", "file", "more"),
    [("1.2_conv", "answer", {"adapter": {"conv": {}}, "targets": "answers"}), ("1.3", "text", {"kl_weight": 1.0})],
)
def test_data_that_lack_what_is_learned_from_are_refused(toy, tmp_path, name, file, more):
    data = shutil.copytree(toy.folder / "data", tmp_path / "data")
    (data / file).unlink()
    options = toy.options(name, model=more) + ["--train_dir", str(data), "--output_dir", str(tmp_path / "exp")]
    task = load_task("adapter" if name == "1.2_conv" else "dialogue")
    with pytest.raises(ConfigError, match=f"no {file}; run the stage that makes it"):
        task.main_worker(task.get_parser().parse_args(options))


def test_a_divergence_from_transcripts_is_refused():
    mapping = {"encoder": ENCODER, "adapter": {"conv": {}}, "kl_weight": 1.0}
    with pytest.raises(ConfigError, match="targets: answers"):
        build(AdapterModelConfig, mapping)


def piece(*lengths: int) -> tuple[torch.Tensor, torch.Tensor]:
    embeds = torch.full((len(lengths), max(lengths) + 1, 3), torch.nan)
    for row, size in enumerate(lengths):
        embeds[row, :size] = torch.randn(size, 3)
    return embeds, torch.tensor(lengths)


def test_joins_without_the_padding():
    first, second, third = piece(2, 4), piece(0, 1), piece(3, 0)
    joined = join([first, second, third])
    assert joined.lengths.tolist() == [5, 5] and joined.starts.tolist() == [[0, 2, 2], [0, 4, 5]]
    assert torch.equal(joined.embeds[0], torch.cat([first[0][0, :2], third[0][0, :3]]))
    assert torch.equal(joined.embeds[1], torch.cat([first[0][1, :4], second[0][1, :1]]))
    assert joined.mask.all()


def test_end_comes_after_the_last_id():
    ids, lengths = with_end(torch.tensor([[5, 6, -1], [7, -1, -1]]), torch.tensor([2, 0]), 9)
    assert ids.tolist() == [[5, 6, 9, 9], [9, 9, 9, 9]] and lengths.tolist() == [3, 1]


def test_a_token_is_predicted_by_the_position_before_it():
    hidden = torch.arange(10.0).reshape(2, 5, 1)
    states = predicting(hidden, torch.tensor([2, 4]), torch.tensor([3, 1]))
    assert states[0, :, 0].tolist() == [1, 2, 3] and states[1, 0, 0] == 8


def test_loss_over_nothing_is_zero_with_a_gradient():
    logits = torch.zeros(0, 4, requires_grad=True)
    loss, accuracy = text_loss(logits, torch.zeros(0, dtype=torch.long))
    loss.backward()
    assert loss == 0 and accuracy == 0 and logits.grad is not None
