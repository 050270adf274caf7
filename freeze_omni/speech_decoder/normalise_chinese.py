"""Chinese text as it is spoken: numbers in characters, by cn2an (the extra `chinese`)."""

from __future__ import annotations

import re
from collections.abc import Callable

try:
    import cn2an
except ImportError:
    raise ImportError("numbers in Chinese characters need cn2an: pip install 'freeze-omni[chinese]'") from None

_DIGITS = str.maketrans("0123456789", "零一二三四五六七八九")
_NUMBER = r"(\d+(?:\.\d+)?)"
_CURRENCIES = {"¥": "元", "￥": "元", "$": "美元", "€": "欧元", "£": "英镑"}
_UNITS = {"km/h": "公里每小时", "km": "公里", "cm": "厘米", "mm": "毫米", "m": "米", "kg": "公斤", "g": "克", "°C": "℃"}
_BETWEEN = {"-": "到", "–": "到", "~": "到", "～": "到", "+": "加", "=": "等于", "×": "乘", "÷": "除以"}

# What cn2an does not know, in this order; then it reads dates, fractions, percentages, degrees and other numbers.
_RULES: list[tuple[str, str | Callable[[re.Match[str]], str]]] = [
    (r"(?<=\d),(?=\d{3}(?!\d))", ""),
    (r"(?<!\d)(\d{4})-0?(\d{1,2})-0?(\d{1,2})(?!\d)", r"\1年\2月\3日"),
    (r"(?<!\d)(\d{1,2})[:：]00(?!\d)", r"\1点整"),
    (r"(?<!\d)(\d{1,2})[:：]([0-5]\d)(?!\d)", r"\1点\2分"),
    *((rf"{re.escape(sign)} ?{_NUMBER}", rf"\1{word}") for sign, word in _CURRENCIES.items()),
    *((rf"(?<=\d) ?{unit}(?![A-Za-z])", word) for unit, word in _UNITS.items()),
    (r"(?<![A-Za-z\d.]) ?[-−](?=\d)", "负"),
    *((rf"(?<=\d) ?{re.escape(sign)} ?(?=负?\d)", word) for sign, word in _BETWEEN.items()),
    (r"(?<![\d.])2(?=[个只位条本张件次天种块杯])", "两"),
    (r"(?<![\d.])(0\d+|\d{11,})(?![\d.])", lambda match: match[0].translate(_DIGITS)),  # a code, a phone number
]


def spoken_chinese(text: str) -> str:
    """The text with its numbers in characters: "我有3个苹果。" gives "我有三个苹果。"."""
    for pattern, words in _RULES:
        text = re.sub(pattern, words, text)
    return " ".join(cn2an.transform(text, "an2cn").split())
