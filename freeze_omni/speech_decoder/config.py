"""Configuration of the speech decoder; the defaults are the published model's sizes."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class SpeechDecoderConfig:
    """Sizes, rows and positions of NAR, prefix and AR.

    size, heads, ffn_size: width, attention heads and feed-forward width of every layer.
    layers: AR layers, and as many prefix layers (layer i's prefix comes before AR layer i).
    pre_layers: two-way NAR layers over the text, the paper's pre-network (published: layers // 2); 0: none.
    codes: entries of the codec's codebook; bos, sos, eos and pad follow them.
    max_positions: most rows and tokens of one segment together.
    dropout: on the input rows and on what each sub-layer adds. label_smoothing: of the cross entropy.
    token_dropout: share of the speech tokens hidden from the AR in training, so that it does not memorise little data.
    text_rows: "project" maps an LLM vector to one row by a learned projection; "reshape" (published) cuts it into
        llm_size / size rows.
    text_units: "tokens" of the LLM, or "chars", each character as its own LLM token, for which little data is enough.
    positions: "plain" (published) counts from bos on; "progress" puts speech token t at t and text row j near the
        speech token that says it, which makes alignment easy to learn.
    tokens_per_row: speech tokens of a text row (progress only): at 40 a second and for English about 11 for LLM tokens,
        2.7 for characters.
    length: "constant" uses tokens_per_row; "predicted" learns each row's share from the NAR output with an L1 loss on
        the log of the utterance's length.
    length_weight: of that loss. length_noise: deviation of the log-normal noise on the true length in training.
    reading: "attended" (published): attention finds the row that a speech token says; "told": the NAR's output for the
        row spoken now, and the place in it, are added to each token's embedding. The times are the `durations` that
        stage 9 aligns in training, and predicted afterwards; needs positions: progress, length: predicted.
    tokens_per_pass: speech tokens of one pass of the AR (published: 1); each further one has a small module of its own,
        learned in stage 2.2 (`multi_token`), and costs a fraction of a pass.
    guide_weight, guide_layer, guide_heads, guide_width: auxiliary guided-attention loss that makes the first heads of
        one AR layer attend along the diagonal of text and speech.
    """

    size: int = 896
    heads: int = 14
    ffn_size: int = 4864
    layers: int = 4
    pre_layers: int = 2
    codes: int = 1024
    max_positions: int = 2048
    dropout: float = 0.1
    token_dropout: float = 0.0
    text_rows: Literal["project", "reshape"] = "project"
    text_units: Literal["tokens", "chars"] = "tokens"
    positions: Literal["plain", "progress"] = "plain"
    tokens_per_row: float = 11.0
    length: Literal["constant", "predicted"] = "constant"
    length_weight: float = 1.0
    length_noise: float = 0.1
    reading: Literal["attended", "told"] = "attended"
    label_smoothing: float = 0.0
    tokens_per_pass: int = 1
    guide_weight: float = 0.0
    guide_layer: int = 0
    guide_heads: int = 1
    guide_width: float = 0.2

    def __post_init__(self) -> None:
        if self.size % self.heads or self.size // self.heads % 2:
            raise ValueError(f"size {self.size} must be an even multiple of heads {self.heads} (rotary pairs)")
        if min(self.layers, self.codes, self.max_positions, self.tokens_per_pass) < 1 or self.pre_layers < 0:
            counts = "layers, codes, max_positions and tokens_per_pass"
            raise ValueError(f"{counts} must be at least 1, pre_layers at least 0")
        if not 0 <= self.token_dropout < 1:
            raise ValueError(f"token_dropout is a share, below 1, not {self.token_dropout}")
        if self.tokens_per_row <= 0:
            raise ValueError(f"tokens_per_row must be above 0, not {self.tokens_per_row}")
        if not 0 <= self.guide_layer < self.layers or not 1 <= self.guide_heads <= self.heads:
            raise ValueError("guide_layer and guide_heads must name an AR layer and some of its heads")
        if self.length == "predicted" and self.positions == "plain":
            raise ValueError("length: predicted has no use with positions: plain; set positions: progress")
        if self.reading == "told" and (self.length != "predicted" or self.text_rows != "project"):
            needed = "length: predicted, positions: progress and text_rows: project"
            raise ValueError(f"reading: told needs a duration for each row: set {needed}")

    @property
    def bos(self) -> int:
        return self.codes

    @property
    def sos(self) -> int:
        return self.codes + 1

    @property
    def eos(self) -> int:
        return self.codes + 2

    @property
    def pad(self) -> int:
        return self.codes + 3

    @property
    def vocabulary(self) -> int:
        """Codes and the four special tokens."""
        return self.codes + 4
