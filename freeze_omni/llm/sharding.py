"""The frozen LLM's layers spread over all processes of a training (FSDP2), for an LLM that does not fit one GPU."""

import torch
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

from freeze_omni.llm.frozen import FrozenLLM
from freeze_omni.llm.recompute import decoder_layers


def shard(llm: FrozenLLM, device: str) -> None:
    """Leave this process its share of each layer, on `device` (cuda, cpu); a layer is gathered while it computes.

    All processes have to make the same passes. Layers move to the device one after another, so the whole LLM has to fit
    the main memory alone. Its embedding and its head stay whole in each process, as they are used without a pass.
    Raises ValueError as `decoder_layers`; RuntimeError where no processes work together.
    """
    if not torch.distributed.is_initialized():
        raise RuntimeError("the LLM can be sharded over the processes of a distributed training alone")
    mesh = init_device_mesh(device, (torch.distributed.get_world_size(),))
    decoder = llm.model.get_decoder()
    whole = {*llm.model.get_input_embeddings().parameters(), *llm.model.get_output_embeddings().parameters()}
    for layer in decoder_layers(decoder):
        fully_shard(layer, mesh=mesh)
    fully_shard(decoder, mesh=mesh, ignored_params=whole)
