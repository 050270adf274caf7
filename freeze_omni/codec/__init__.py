"""Speech tokens: the codec, its streaming decoder and the token FIFO."""

from freeze_omni.codec.codec import Codec, CodecPass
from freeze_omni.codec.config import CodecConfig

__all__ = ["Codec", "CodecConfig", "CodecPass"]
