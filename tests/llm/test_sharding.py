"""The LLM's layers over two processes: the same passes, gradients and hash as whole, and no key in a checkpoint."""

from __future__ import annotations

import multiprocessing
import time
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.distributed.tensor import DTensor

from freeze_omni.llm.frozen import FrozenLLM
from freeze_omni.llm.sharding import load_sharded
from freeze_omni.llm.tuned import build_tuning, tuned
from tests.toy import TUNINGS, as_if_learned

pytestmark = pytest.mark.processes
LENGTHS = torch.tensor([9, 5])


def learned(llm: FrozenLLM, kind: str | None) -> tuple[Tensor, list[Tensor]]:
    """Loss of a pass, and its gradients: of the embeddings, and of what is learned beside the LLM."""
    torch.manual_seed(5)
    tuning = None if kind is None else as_if_learned(build_tuning(TUNINGS[kind], llm))
    used = tuned(llm, tuning)
    embeds = torch.randn(2, 9, llm.hidden_size, generator=torch.Generator().manual_seed(3)).requires_grad_()
    mask = torch.arange(9) < LENGTHS[:, None]
    loss = used.logits(used(embeds, mask)[0][mask]).square().mean()
    wanted = [embeds, *(() if tuning is None else tuning.parameters())]
    return loss.detach(), list(torch.autograd.grad(loss, wanted))


def work(rank: int, folder: Path) -> None:
    """One of two processes: writes what it found."""
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    llm = FrozenLLM.load(folder / "llm")
    before = llm.fingerprint()
    whole = {kind: learned(llm, kind) for kind in (None, "lora")}
    weights = sum(weight.numel() for weight in llm.model.get_decoder().layers.parameters())

    def load() -> FrozenLLM:
        with (folder / "turns").open("a") as turns:
            print(rank, "begins", file=turns, flush=True)
            time.sleep(0.2)  # the other one would begin
            print(rank, "ends", file=turns, flush=True)
        return llm

    assert load_sharded(load, "cpu") is llm
    held = list(llm.model.get_decoder().layers.parameters())
    found: dict[str, object] = {
        "sharded": all(isinstance(weight, DTensor) for weight in held),
        "share": sum(weight.to_local().numel() for weight in held) / weights,
        "keys": list(llm.state_dict()),
    }
    for llm.checkpointing in (False, True):
        for kind in whole:  # a LoRA that is built beside sharded weights has their whole sizes
            loss, gradients = learned(llm, kind)
            torch.testing.assert_close(loss, whole[kind][0])
            torch.testing.assert_close(gradients, whole[kind][1])
    found["same"] = llm.fingerprint() == before
    found["still"] = not any(module.training for module in llm.modules())
    torch.save(found, folder / f"{rank}.pt")
    torch.distributed.destroy_process_group()


def test_two_processes_share_the_layers_and_compute_as_one(folders, tmp_path):
    (tmp_path / "llm").symlink_to(folders["qwen2"])
    forks = multiprocessing.get_context("forkserver")
    both = [forks.Process(target=work, args=(rank, tmp_path)) for rank in range(2)]
    for process in both:
        process.start()
    for process in both:
        process.join(300)
    assert [process.exitcode for process in both] == [0, 0]
    turns = (tmp_path / "turns").read_text().splitlines()
    assert turns == ["0 begins", "0 ends", "1 begins", "1 ends"], "one after another"
    for rank in range(2):
        found = torch.load(tmp_path / f"{rank}.pt")
        assert found.pop("share") == pytest.approx(0.5, abs=0.02)
        assert found == {"sharded": True, "keys": [], "same": True, "still": True}
