"""Text as it is spoken: the published decoder's clean-up, and English or Chinese with numbers in words."""

import re
from collections.abc import Callable
from typing import Any, Literal

from freeze_omni.speech_decoder.cardinals import cardinal, digits, ordinal, plural, year


def _pairs(text: str, ending: str = "") -> dict[str, str]:
    """The dictionary that "a=b c=d" writes; `ending` is added to its keys."""
    return {short + ending: words for short, words in (pair.split("=") for pair in text.split())}


_ABBREVIATIONS = {
    **_pairs("Mr=Mister Mrs=Missus Ms=Miz Dr=Doctor Prof=Professor", r"\."),
    r"St\.(?= [A-Z])": "Saint",
    r"St\.": "Street",
    **_pairs("Jr=Junior Sr=Senior Gen=General Col=Colonel Capt=Captain Lt=Lieutenant Sgt=Sergeant Rev=Reverend", r"\."),
    r"vs\b\.?": "versus",
    r"etc\.(?=\s+[A-Z])": "et cetera.",
    r"etc\.": "et cetera",
    r"e\.g\.,?": "for example,",
    r"i\.e\.,?": "that is,",
    r"approx\.": "approximately",
    r"No\. ?(?=\d)": "number ",
}
_CURRENCIES = {
    "$": ("dollar", "dollars", "cent", "cents"),
    "£": ("pound", "pounds", "penny", "pence"),
    "€": ("euro", "euros", "cent", "cents"),
}
_REGULAR_UNITS = (
    "km=kilometer cm=centimeter mm=millimeter m=meter kg=kilogram mg=milligram lbs=pound lb=pound ml=milliliter"
    " GB=gigabyte MB=megabyte"
)
_UNITS = {  # km/h before km, as the first that fits is taken
    "km/h": ("kilometer per hour", "kilometers per hour"),
    "mph": ("mile per hour", "miles per hour"),
    "ft": ("foot", "feet"),
    "°C": ("degree Celsius", "degrees Celsius"),
    "°F": ("degree Fahrenheit", "degrees Fahrenheit"),
    "°": ("degree", "degrees"),
    "%": ("percent", "percent"),
}
_UNITS |= {"GHz": ("gigahertz",) * 2, "MHz": ("megahertz",) * 2, "kHz": ("kilohertz",) * 2, "Hz": ("hertz",) * 2}
_UNITS |= {short: (words, words + "s") for short, words in _pairs(_REGULAR_UNITS).items()}
_SIGNS = {"&": " and ", "+": " plus ", "=": " equals ", "@": " at ", "×": " times ", "÷": " divided by "}
_MONTHS = "January February March April May June July August September October November December".split()
_HALVES = {2: ("half", "halves"), 4: ("quarter", "quarters")}

_NUMBER = r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?"
_SCALE = r"(?: (?:hundred|thousand|million|billion|trillion))?"


def is_chinese(text: str) -> bool:
    return re.search(r"[\u4e00-\u9fff]", text) is not None


def spoken_english(text: str) -> str:
    """The text with numbers, signs and abbreviations in words; words stay as they are, and so does a Chinese text.

    "Dr. Lee paid $3.50 on May 1st." gives "Doctor Lee paid three dollars and fifty cents on May first."
    """
    if is_chinese(text):
        return " ".join(text.split())
    for pattern, words in _ABBREVIATIONS.items():
        at_end = "" if words.endswith(".") else "."  # the abbreviation's point was also the sentence's
        text = re.sub(rf"(?<!\w){pattern}(?=\s*$)", words + at_end, text)
        text = re.sub(rf"(?<!\w){pattern}", words, text)
    for rule, read in _RULES:
        text = rule.sub(read, text)
    for sign, words in _SIGNS.items():
        text = text.replace(sign, words)
    text = re.sub(r"\s+([,.;:?!])", r"\1", text)
    return re.sub(r"\s+", " ", text).strip()


def _value(number: str) -> str:
    """A number with thousands commas and decimals; with a leading zero it is read by digits."""
    number = number.replace(",", "")
    whole, _, decimals = number.partition(".")
    if decimals:
        return f"{cardinal(int(whole))} point {digits(decimals)}"
    if len(whole) > 1 and whole.startswith("0"):
        return digits(whole)
    return cardinal(int(whole))


def _money(match: re.Match[str]) -> str:
    one, many, cent, cents = _CURRENCIES[match["sign"]]
    number, scale = match["number"].replace(",", ""), match["scale"]
    whole, _, decimals = number.partition(".")
    if scale or len(decimals) not in (0, 2):
        return f"{_value(number)}{scale} {many}"
    words = [f"{_value(whole)} {one if whole == '1' else many}"] if int(whole) or not decimals else []
    if decimals and int(decimals):
        words.append(f"{cardinal(int(decimals))} {cent if int(decimals) == 1 else cents}")
    return " and ".join(words) or f"zero {many}"


def _time(match: re.Match[str]) -> str:
    hour, minute, half = int(match["hour"]), int(match.groupdict().get("minute") or 0), match["half"]
    if minute:
        words = f"{cardinal(hour)} {'oh ' if minute < 10 else ''}{cardinal(minute)}"
    else:
        words = cardinal(hour) + ("" if half else " o'clock" if 0 < hour < 13 else " hundred hours")
    return words + (f" {half[0].lower()} m" if half else "")


def _date(match: re.Match[str]) -> str:
    years, month, day = map(int, match.groups())
    return f"{_MONTHS[month - 1]} {ordinal(day)}, {year(years)}"


def _unit(match: re.Match[str]) -> str:
    one, many = _UNITS[match["unit"]]
    return f"{_value(match['number'])} {one if match['number'] == '1' else many}"


def _fraction(match: re.Match[str]) -> str:
    """1/2 is a half; 24/7 is no fraction that anyone would say."""
    top, bottom = int(match[1]), int(match[2])
    if top >= bottom:
        return f"{cardinal(top)} {cardinal(bottom)}"
    one, many = _HALVES.get(bottom, (ordinal(bottom), ordinal(bottom) + "s"))
    return f"{cardinal(top)} {one if top == 1 else many}"


def _plain(match: re.Match[str]) -> str:
    """Any other number; a space separates it from letters ("B2B")."""
    text, number = match.string, match[0]
    before = " " if match.start() and text[match.start() - 1].isalpha() else ""
    after = " " if match.end() < len(text) and text[match.end()].isalpha() else ""
    return before + _value(number) + after


_HALF = r"(?P<half>[apAP]\.?[mM]\b)(?:\.(?!\s*$|\s+[A-Z]))?"  # leaves a point that ends the sentence
_CLOCK = rf"\b(?P<hour>[01]?\d|2[0-4]):(?P<minute>[0-5]\d)(?!\d)(?: ?{_HALF})?"
_HOUR = rf"\b(?P<hour>1[0-2]|[1-9]) ?{_HALF}"
_MEASURE = rf"(?<![\d.])(?P<number>{_NUMBER}) ?(?P<unit>{'|'.join(map(re.escape, _UNITS))})(?!\w)"
_YEAR = r"(?<![\d.,])(1[1-9]\d\d|20\d\d)(?![\d,]\d|\.\d|\d)"

_RULES: list[tuple[re.Pattern[str], Callable[[re.Match[str]], str]]] = [
    (re.compile(rf"(?P<sign>[$£€]) ?(?P<number>{_NUMBER})(?P<scale>{_SCALE})"), _money),
    (re.compile(_CLOCK), _time),
    (re.compile(_HOUR), _time),
    (re.compile(r"\b(\d{4})-(0[1-9]|1[0-2])-([0-3]\d)\b"), _date),
    (re.compile(r"\b(?:\d{3}[-. ])?\d{3}-\d{4}\b"), lambda match: ", ".join(map(digits, re.findall(r"\d+", match[0])))),
    (re.compile(r"\b(\d+)(?:st|nd|rd|th)\b"), lambda match: ordinal(int(match[1]))),
    (
        re.compile(r"\b(\d0|1[1-9]\d0|20\d0)['’]?s\b"),
        lambda match: plural((year if len(match[1]) == 4 else cardinal)(int(match[1]))),
    ),
    (re.compile(r"(?<=\d) - (?=\d)"), lambda match: " minus "),
    (re.compile(r"(?<=\d)(?:-| ?– ?)(?=\d)"), lambda match: " to "),
    (re.compile(r"(?<![\w.])[-−](?=\d)"), lambda match: "minus "),
    (re.compile(_MEASURE), _unit),
    (re.compile(r"\b(\d{1,2})/(\d{1,2})\b(?!/)"), _fraction),
    (re.compile(r"#(?=\d)"), lambda match: "number "),
    (re.compile(_YEAR), lambda match: year(int(match[0]))),
    (re.compile(_NUMBER), _plain),
]


_FINAL = ".?!。？！"


def normalise(text: str) -> str:
    """The clean-up that the published decoder was run with: commas for brackets, one line, no markdown, a final stop.

    "1. x" becomes "1:x". Stop and colon are full-width if the text has Chinese characters. Empty text stays empty.
    """
    chinese = is_chinese(text)
    text = re.sub(r"[()]", ",", text)
    text = re.sub(r"[（）、]", "，", text)
    text = re.sub(r"(\d)\.\s+", r"\1：" if chinese else r"\1:", text)
    text = re.sub(r"[\r\n\t*_~`]", "", text)
    text = re.sub(r"([.:])\s+", r"\1", text).strip()
    if not text or text[-1] in _FINAL:
        return text
    return text.rstrip(",;:，；：") + ("。" if chinese else ".")


TextStyle = Literal["plain", "released", "english", "chinese"]


def text_styler(style: TextStyle) -> Callable[[str], str]:
    """What is done to a text before it is spoken; chinese: English text as by english.

    Raises ImportError: chinese without the extra of that name.
    """
    if style == "chinese":
        from freeze_omni.speech_decoder.normalise_chinese import spoken_chinese

        return lambda text: spoken_chinese(text) if is_chinese(text) else spoken_english(text)
    styles: dict[str, Callable[[str], str]] = {"plain": str.strip, "released": normalise, "english": spoken_english}
    return styles[style]


def spell(text: str, tokenizer: Any) -> list[int]:
    """LLM token ids of the text, each character on its own; one without a token is the tokens of its bytes."""
    table = {character: _ids(character, tokenizer) for character in set(text)}
    return [unit for character in text for unit in table[character]]


def text_ids(text: str, tokenizer: Any, text_units: str) -> list[int]:
    """LLM token ids of the text in the units of a decoder's `text_units` ("tokens" or "chars")."""
    return spell(text, tokenizer) if text_units == "chars" else tokenizer.encode(text, add_special_tokens=False)


def spoken_ids(text: str, tokenizer: Any, text_units: str, style: TextStyle) -> list[int]:
    """LLM token ids of a text as it is spoken; style: see `text_styler`, as in training."""
    return text_ids(text_styler(style)(text), tokenizer, text_units)


def _ids(character: str, tokenizer: Any) -> list[int]:
    ids = tokenizer.encode(character, add_special_tokens=False)
    if len(ids) > 1 or tokenizer.convert_ids_to_tokens(ids) != [character]:
        own = tokenizer.convert_tokens_to_ids(character)  # some tokenisers put a blank in front of a text
        if own is not None and own != tokenizer.unk_token_id and tokenizer.decode([own]) == character:
            return [own]
    return ids
