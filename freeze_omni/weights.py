"""Modules built without memory for their weights, and filled with tensors that are there already.

A model of hundreds of millions of parameters is then never held twice: its weights stay where they are, e.g. in a
file that is mapped into memory.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from torch import Tensor, nn


@contextmanager
def without_weights() -> Iterator[None]:
    """Parameters of modules built inside are on the meta device. Replaces a method of `nn.Module`: for one thread."""
    original = nn.Module.register_parameter

    def register(module: nn.Module, name: str, param: nn.Parameter | None) -> None:
        original(module, name, param)
        if param is not None and not param.is_meta:
            module._parameters[name] = nn.Parameter(param.to("meta"), param.requires_grad)

    nn.Module.register_parameter = register
    try:
        yield
    finally:
        nn.Module.register_parameter = original


def fill(module: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Let the module's tensors be those of `state`, without a copy. Raises ValueError for other names or shapes."""
    try:
        module.load_state_dict(state, assign=True)
    except RuntimeError as error:
        raise ValueError(str(error)) from None


def state_shapes(module: nn.Module, prefix: str = "") -> dict[str, tuple[int, ...]]:
    """Name and shape of every tensor of the module's state dict."""
    return {prefix + name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
