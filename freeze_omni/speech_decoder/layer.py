"""The Llama layer of NAR, prefix and AR: RMSNorm, rotary positions, SwiGLU, no biases."""

from torch import Tensor, nn
from torch.nn import functional as F

from freeze_omni.attention import Rotary, attend, rotate

NORM_EPS = 1e-6


class Layer(nn.Module):
    """One pre-norm layer in steps, so that a cache can come between them."""

    def __init__(self, size: int, heads: int, ffn_size: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.attention_norm = nn.RMSNorm(size, eps=NORM_EPS)
        self.query_key_value = nn.Linear(size, 3 * size, bias=False)
        self.attention_out = nn.Linear(size, size, bias=False)
        self.ffn_norm = nn.RMSNorm(size, eps=NORM_EPS)
        self.gate_up = nn.Linear(size, 2 * ffn_size, bias=False)
        self.down = nn.Linear(ffn_size, size, bias=False)
        self.dropout = nn.Dropout(dropout)

    def project(self, x: Tensor, rotary: Rotary) -> tuple[Tensor, Tensor, Tensor]:
        """x (B, T, D) to rotated queries and keys, and values, each (B, H, T, d)."""
        batch, steps, size = x.shape
        mixed = self.query_key_value(self.attention_norm(x))
        query, key, value = mixed.view(batch, steps, 3, self.heads, size // self.heads).permute(2, 0, 3, 1, 4)
        return rotate(query, rotary), rotate(key, rotary), value

    def attend(self, x: Tensor, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
        """Attention over key and value (B, H, K, d) where mask (B, 1, T, K) allows, then the feed-forward."""
        return self.finish(x, attend(query, key, value, mask))

    def finish(self, x: Tensor, context: Tensor) -> Tensor:
        """What follows the attention: its output context (B, H, T, d) joins x, then the feed-forward."""
        x = x + self.dropout(self.attention_out(context.transpose(1, 2).flatten(2)))
        gate, up = self.gate_up(self.ffn_norm(x)).chunk(2, dim=-1)
        return x + self.dropout(self.down(F.silu(gate) * up))

    def forward(self, x: Tensor, rotary: Rotary, mask: Tensor | None) -> Tensor:
        """x (B, T, D) to (B, T, D), attending to itself where mask (B, 1, T, T) allows."""
        return self.attend(x, *self.project(x, rotary), mask)


def key_mask(valid: Tensor) -> Tensor:
    """valid (B, K) to a mask (B, 1, 1, K); a row without keys sees everything, as an empty softmax would be NaN."""
    return (valid | ~valid.any(dim=1, keepdim=True))[:, None, None, :]
