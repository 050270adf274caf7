"""A whole folder of the published layout as a configuration and a state dict of ours."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from freeze_omni.adapter.choice import AdapterChoice
from freeze_omni.frontend.cmvn import Cmvn
from freeze_omni.frontend.fbank import FbankConfig
from freeze_omni.llm.frozen import FrozenLLM
from freeze_omni.llm.units import CtcUnits
from freeze_omni.rates import Rates
from freeze_omni.released.codec import read_codec
from freeze_omni.released.dialogue import END, UNUSED, read_dialogue
from freeze_omni.released.files import ReleasedError
from freeze_omni.released.listen import ListenConfig, read_listen, read_listen_config
from freeze_omni.released.server import GENERATION, SEGMENTS, read_server
from freeze_omni.released.speech_decoder import read_speech_decoder
from freeze_omni.system import FreezeOmni, LlmConfig, SystemConfig, empty_voice

NOTICE = (
    "These weights are made from the checkpoints that the authors of Freeze-Omni published, which they allow for "
    "academic use only. Whoever passes them on, or anything trained from them, passes this notice on too."
)
_CMVN_TOLERANCE = 1e-4


@dataclass(frozen=True)
class Released:
    """What a folder of the published layout holds.

    config: with the LLM's path left open. state: tensors by our names, `voice` among them, still in the files.
    left_out: tensor of a file -> why. notes: what a reader should know. has_voice: model.json names global tokens.
    """

    folder: Path
    config: SystemConfig
    state: dict[str, Tensor]
    left_out: dict[str, str]
    has_voice: bool
    notes: list[str] = field(default_factory=list)


def read_released(folder: str | Path, llm_dtype: str = "float32") -> Released:
    """Read the folder without memory for its large tensors. Raises ReleasedError that names the file and its fault."""
    folder = Path(folder)
    if not folder.is_dir():
        raise ReleasedError(f"{folder}: no such folder; give one with audiollm, decoder, codec and server.json")
    heard = read_listen_config(folder / "audiollm" / "train.yaml")
    encoder, adapter, others = read_listen(folder / "audiollm")
    dialogue = read_dialogue(folder / "audiollm", others)
    decoder_config, decoder = read_speech_decoder(folder / "decoder")
    codec, voice, codec_left_out = read_codec(folder / "codec")
    server = read_server(folder / "server.json")
    try:
        config = SystemConfig(
            adapter=AdapterChoice(conv=heard.adapter),
            ctc_units=0,
            llm_size=heard.llm_size,
            llm=LlmConfig(dtype=llm_dtype),
            rates=Rates(
                mel_bins=heard.encoder.input_size,
                chunk_frames=heard.encoder.chunk_frames,
                output_hz=codec.config.sample_rate_hz,
                token_samples=codec.config.hop_samples,
            ),
            fbank=FbankConfig(mel_bins=heard.encoder.input_size),
            encoder=heard.encoder,
            prompt=heard.prompt,
            state_head=dialogue.state_head.config,
            speech_decoder=decoder_config,
            text_style="released",
            codec=codec.config,
            system_prompt=dialogue.system,
            generation=GENERATION,
            segments=SEGMENTS,
            sampling=server.sampling,
            chat=dialogue.texts,
            fifo=server.fifo,
            notice=NOTICE,
        )
    except ValueError as error:
        raise ReleasedError(f"{folder}: its parts do not fit together: {error}") from None
    if heard.llm_size % decoder_config.size:
        raise ReleasedError(
            f"{folder}: the LLM's width {heard.llm_size} is no multiple of the speech decoder's {decoder_config.size}"
        )
    parts = {"encoder": encoder, "adapter": adapter, "prompt": dialogue.prompt, "state_head": dialogue.state_head}
    state = {
        f"{prefix}.{name}": tensor.detach()
        for prefix, part in (parts | {"codec": codec}).items()
        for name, tensor in part.state_dict().items()
    }
    state |= {f"speech_decoder.{name}": tensor for name, tensor in decoder.items()}
    state["voice"] = empty_voice(codec.config) if voice is None else voice
    left_out = {f"codec/final.pt: {name}": reason for name, reason in codec_left_out.items()}
    if UNUSED in others:
        left_out[f"audiollm/final.pt: {UNUSED}"] = "of stage 1.2, not read at inference"
    notes = _notes(folder, heard, encoder.cmvn, server.unknown)
    if not any(codec.decoder.voice_after):
        notes.append(f"codec: no stage has {codec.config.global_code.dim} channels, so the voice is never added")
    return Released(folder, config, state, left_out, voice is not None, notes)


def build_model(released: Released, llm: FrozenLLM) -> FreezeOmni:
    """The model around its LLM. Raises ReleasedError: it has another width, or lacks the chat template's end token."""
    path = released.folder / "audiollm" / "train.yaml"
    if llm.hidden_size != released.config.llm_size:
        raise ReleasedError(
            f"{path}: llm_embed_dim is {released.config.llm_size}, but {llm.source} is {llm.hidden_size} wide: "
            "give the LLM that the checkpoint was trained with"
        )
    ids = llm.tokenizer(END, add_special_tokens=False)["input_ids"]
    if ids != [llm.chat.end_id]:
        raise ReleasedError(f"{path}: {END} is no token of {llm.source}: give the LLM of the checkpoint")
    return FreezeOmni(released.config, llm, CtcUnits.none(), released.state)


def _notes(folder: Path, heard: ListenConfig, stored: Cmvn, unknown: tuple[str, ...]) -> list[str]:
    """How the statistics file and the statistics in the checkpoint agree; what nothing reads."""
    notes = []
    path = folder / "audiollm" / heard.cmvn_file
    if not path.exists():
        notes.append(f"{path}: not there; the statistics in final.pt are used")
    else:
        try:
            found = Cmvn.from_json(path) if heard.json_cmvn else Cmvn.from_kaldi(path)
        except (ValueError, OSError) as error:
            raise ReleasedError(f"{error} (train.yaml: is_json_cmvn: {str(heard.json_cmvn).lower()})") from None
        if found.mean.shape != stored.mean.shape:
            raise ReleasedError(f"{path}: statistics of {len(found.mean)} bins, the model has {len(stored.mean)}")
        pairs = ((found.mean, stored.mean), (found.istd, stored.istd))
        if not all(torch.allclose(a, b, rtol=_CMVN_TOLERANCE, atol=_CMVN_TOLERANCE) for a, b in pairs):
            notes.append(f"{path}: differs from the statistics in final.pt, which are used")
    if unknown:
        notes.append(f"{folder / 'server.json'}: nothing reads {', '.join(unknown)}")
    return notes
