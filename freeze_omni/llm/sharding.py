"""The frozen LLM's layers spread over all processes of a training (FSDP2), for an LLM that does not fit one GPU."""

from collections.abc import Callable

import torch
from torch import distributed
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import fully_shard

from freeze_omni.llm.frozen import FrozenLLM
from freeze_omni.llm.recompute import decoder_layers


def load_sharded(load: Callable[[], FrozenLLM], device: str) -> FrozenLLM:
    """The LLM that `load` reads, of which each process keeps its share of the layers, on `device` (cuda, cpu).

    The processes of a machine read it one after another, so that it has to fit the main memory once. Its embedding and
    its head stay whole in each process, as they are used without a pass. All processes have to call this together, and
    to make the same passes. Raises LlmError as `decoder_layers`; what `load` raises.
    """
    rank, count = distributed.get_rank(), distributed.get_world_size()
    mesh = init_device_mesh(device, (count,))
    turns = torch.cuda.device_count() if device == "cuda" else count
    for turn in range(turns):
        if rank % turns == turn:
            llm = load()
            shard(llm, mesh)
        distributed.barrier()
    return llm


def shard(llm: FrozenLLM, mesh: DeviceMesh) -> None:
    """Leave this process its share of each layer, which is gathered while it computes. Layers move to the device of the
    mesh one after another."""
    decoder = llm.model.get_decoder()
    whole = {*llm.model.get_input_embeddings().parameters(), *llm.model.get_output_embeddings().parameters()}
    for layer in decoder_layers(decoder):
        fully_shard(layer, mesh=mesh)
    fully_shard(decoder, mesh=mesh, ignored_params=whole)
