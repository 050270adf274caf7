"""A toy of a whole model for tests: real parts of tiny sizes with random weights; the state head follows a script."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import torch
from torch import Tensor, nn

from freeze_omni.adapter.conv import ConvAdapter, ConvAdapterConfig
from freeze_omni.codec import Codec, CodecConfig
from freeze_omni.codec.config import SpectralConfig
from freeze_omni.encoder.config import EncoderConfig
from freeze_omni.encoder.ctc import CtcHead
from freeze_omni.encoder.encoder import SpeechEncoder
from freeze_omni.frontend.fbank import Fbank
from freeze_omni.llm.frozen import FrozenLLM
from freeze_omni.rates import Rates
from freeze_omni.speech_decoder.config import SpeechDecoderConfig
from freeze_omni.speech_decoder.decoder import SpeechDecoder
from tests.toy import toy_llm

UNITS = ["<blank>", *"abcdefghijklmnopqrstuvwxyz "]


class ScriptedHead(nn.Module):
    """Says state 0, and what `script` has for the n-th chunk that it is asked about (from 0)."""

    def __init__(self) -> None:
        super().__init__()
        self.script: dict[int, int] = {}
        self.asked = 0

    def forward(self, hidden: Tensor, summary: Tensor) -> Tensor:
        state = self.script.get(self.asked, 0)
        self.asked += 1
        return nn.functional.one_hot(torch.tensor([[state]]), 3).float() * 8


def toy_model(folder: Path) -> SimpleNamespace:
    """Everything that a session asks of a model."""
    torch.manual_seed(3)
    llm = FrozenLLM.load(toy_llm(folder / "llm"))
    encoder = SpeechEncoder(EncoderConfig(size=16, layers=1, heads=2, ffn_size=32))
    codec = Codec(
        CodecConfig(spectral=SpectralConfig(width=16, decoder_blocks=1, encoder_blocks=1))
    )
    decoder = SpeechDecoder(
        SpeechDecoderConfig(size=16, heads=2, ffn_size=32, layers=1, pre_layers=1), llm.hidden_size
    )
    parts = [encoder, codec, decoder]
    adapter = ConvAdapter(ConvAdapterConfig(), 16, llm.hidden_size)
    ctc = CtcHead(16, len(UNITS))
    for part in [*parts, adapter, ctc]:
        part.eval()
    reference = torch.randn(1, 24000) * 0.1
    return SimpleNamespace(
        rates=Rates(),
        fbank=Fbank(),
        encoder=encoder,
        ctc=ctc,
        adapter=adapter,
        llm=llm,
        prompt=nn.Embedding(3, llm.hidden_size),
        state_head=ScriptedHead(),
        speech_decoder=decoder,
        codec=codec,
        voice=codec.global_code(reference, torch.tensor([24000])),
        units=SimpleNamespace(decode=lambda ids: "".join(UNITS[i] for i in ids)),
        system_prompt="You are a helpful assistant.",
        spoken_ids=lambda text: llm.tokenizer(text)["input_ids"],
    )
