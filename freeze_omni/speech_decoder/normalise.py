"""Text as it is spoken: the published decoder's clean-up, and English with numbers in words."""

from __future__ import annotations

import re

from freeze_omni.speech_decoder.english import spoken_english

__all__ = ["normalise", "spoken_english"]

_CHINESE = re.compile(r"[\u4e00-\u9fff]")
_FINAL = ".?!。？！"


def normalise(text: str) -> str:
    """The clean-up that the published decoder was run with.

    Round brackets and the enumeration comma become commas; line breaks, tabs, markdown marks and white space after a
    point or colon are removed; "1. x" becomes "1:x"; a missing final stop is added. Stop and colon are full-width if
    the text has Chinese characters. Empty text stays empty.
    """
    chinese = _CHINESE.search(text) is not None
    text = re.sub(r"[()]", ",", text)
    text = re.sub(r"[（）、]", "，", text)
    text = re.sub(r"(\d)\.\s+", r"\1：" if chinese else r"\1:", text)
    text = re.sub(r"[\r\n\t*_~`]", "", text)
    text = re.sub(r"([.:])\s+", r"\1", text).strip()
    if not text or text[-1] in _FINAL:
        return text
    return text.rstrip(",;:，；：") + ("。" if chinese else ".")
