"""A pass through the LLM, and targets of stages 1.2 and 1.3: transcripts, answers, and what the same LLM says that
reads the question."""

from __future__ import annotations

import shutil

import pytest
import torch
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from freeze_omni.bin.train import load_task
from freeze_omni.config import ConfigError, build
from freeze_omni.llm.frozen import FrozenLLM
from freeze_omni.llm.tuned import build_tuning, tuned
from freeze_omni.shapes import pad_rows
from freeze_omni.tasks import llm_pass
from freeze_omni.tasks.adapter import AdapterModelConfig
from freeze_omni.tasks.llm_pass import TurnIds, Written, answer_turn, join, predicting, text_losses, with_end
from tests.tasks.corpus import ENCODER
from tests.toy import TUNINGS, as_if_learned, toy_llm


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


@pytest.mark.parametrize("order", [[0, 1], [1, 0], [0, 0], [1, 1]])
def test_turns_without_an_answer_may_be_read_without_a_gradient(llm, turn, order):
    turn = TurnIds(*((ids[order], lengths[order]) for ids, lengths in turn))
    heard = embedded(llm, turn.question)
    grads, found = [], []
    for only_answers in (False, True):
        learned = heard[0].detach().clone().requires_grad_()
        loss, _, written = answer_turn(llm, turn, [(learned, heard[1])], only_answers=only_answers)
        if 0 in order:
            grads.append(torch.autograd.grad(loss, learned, retain_graph=True)[0])
        found.append((loss.detach(), written.hidden.detach(), written.states.detach()))
        silent = [row for row, one in enumerate(order) if one == 1]
        of_silent = written.hidden[silent].sum()
        if 0 in order and silent:
            moved = torch.autograd.grad(of_silent, learned)[0][silent].abs().sum()
            assert (moved > 0) != only_answers
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)
    if grads:
        torch.testing.assert_close(*grads, atol=1e-4, rtol=1e-3)


def test_the_teacher_is_the_llm_as_it_was(llm, turn):
    changed = tuned(llm, as_if_learned(build_tuning(TUNINGS["lora"], llm)))
    _, stats, _ = answer_turn(changed, turn, [embedded(llm, turn.question)], kl_weight=1.0)
    assert stats["kl"] > 1e-3


@pytest.fixture(scope="module", params=["qwen2", "gemma"])  # plain logits, capped ones
def written(request, tmp_path_factory):
    """An LLM, states of 37 tokens with gradient, targets, and states of a teacher."""
    llm = FrozenLLM.load(toy_llm(tmp_path_factory.mktemp(request.param), request.param))
    draw = torch.Generator().manual_seed(2)
    states, read = (torch.randn(37, llm.hidden_size, generator=draw) for _ in range(2))
    targets = torch.randint(llm.vocab_size, (37,), generator=draw)
    targets[:9] = llm.logits(states[:9]).argmax(-1)
    return llm, states.requires_grad_(), targets, read


def losses_of(llm, states, targets, read):
    none = torch.zeros(0)
    return text_losses(llm, Written(none, none, states, targets), Written(none, none, read, targets))


def plain_losses(llm, states, targets, read):
    logits, wanted = llm.logits(states).float(), llm.logits(read).float()
    distance = (wanted.softmax(-1) * (wanted.log_softmax(-1) - logits.log_softmax(-1))).sum(-1).mean()
    return F.cross_entropy(logits, targets), (logits.argmax(-1) == targets).float().mean(), distance


class Largest(TorchDispatchMode):
    """Values of the largest tensor that is made inside."""

    found = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        self.found = max([self.found, *(x.numel() for x in tree_leaves(out) if isinstance(x, torch.Tensor))])
        return out


@pytest.mark.parametrize("at_once", [1, 5, 36, 37, 1000], ids=lambda rows: f"{rows} rows")
def test_losses_in_pieces_are_the_plain_ones_with_the_same_gradient(written, at_once, monkeypatch):
    llm, states, targets, read = written
    monkeypatch.setattr(llm_pass, "LOGITS_AT_ONCE", at_once * llm.vocab_size)
    with Largest() as largest:
        found = losses_of(*written)
        loss = found.cross_entropy.reshape(1)
        loss /= 1  # in place, as ESPnet's trainer does
        gradient = torch.autograd.grad(loss + 0.5 * found.divergence, states)[0]
    expected = plain_losses(*written)
    torch.testing.assert_close(tuple(found), expected)
    torch.testing.assert_close(gradient, torch.autograd.grad(expected[0] + 0.5 * expected[2], states)[0])
    weights = llm.model.get_output_embeddings().weight.numel()  # transposed for the product
    assert largest.found <= max(min(at_once, 37) * llm.vocab_size, weights)


def test_logits_of_all_tokens_are_never_there(written, monkeypatch):
    llm, states, targets, read = (written[0], *(torch.cat([each] * 40) for each in written[1:]))
    whole = len(targets) * llm.vocab_size
    monkeypatch.setattr(llm_pass, "LOGITS_AT_ONCE", whole // 4)
    with Largest() as largest:
        losses_of(llm, states, targets, read).cross_entropy.backward()
    assert 0 < largest.found <= whole / 4
    with Largest() as largest:
        plain_losses(llm, states, targets, read)
    assert largest.found == whole


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


def test_loss_over_nothing_is_zero_with_a_gradient(llm):
    states = torch.zeros(0, llm.hidden_size, requires_grad=True)
    found = losses_of(llm, states, torch.zeros(0, dtype=torch.long), states.detach())
    (found.cross_entropy + found.divergence).backward()
    assert found.cross_entropy == found.accuracy == found.divergence == 0 and states.grad is not None


@pytest.mark.parametrize("name", ["1.2_conv", "1.2_lora", "1.3", "1.3_prefix", "2.3"])
@pytest.mark.parametrize("options", [{"llm_packing": True}, {"llm_packing": True, "llm_checkpointing": True}])
def test_packed_and_recomputed_passes_learn_what_padded_ones_do(toy, name, options):
    """Losses and gradients of whole stages."""
    toy.options(name)  # makes what the stage starts from, if it is the first to need it
    found = []
    for one in ({"llm_packing": False}, options):
        torch.manual_seed(0)
        model, args = toy.build(name, **one)
        assert (model.llm.packing, model.llm.checkpointing) == (one["llm_packing"], len(one) == 2)
        loss, stats, _ = model.eval()(**toy.batch(name, args))
        loss.backward()
        found.append((stats, {key: weight.grad for key, weight in model.named_parameters() if weight.requires_grad}))
    (stats, gradients), (others, theirs) = found
    assert gradients and any(gradient is not None and gradient.any() for gradient in gradients.values())
    torch.testing.assert_close(stats, others, equal_nan=True)
    torch.testing.assert_close(gradients, theirs, rtol=1e-3, atol=1e-5)
