"""Speech decoder: text and hidden states of the LLM in, speech tokens out (paper section 3.3)."""

from freeze_omni.speech_decoder.config import SpeechDecoderConfig
from freeze_omni.speech_decoder.decoder import SpeechDecoder
from freeze_omni.speech_decoder.sampling import SamplingConfig

__all__ = ["SamplingConfig", "SpeechDecoder", "SpeechDecoderConfig"]
