"""English words for numbers: cardinals, ordinals, years, digits one by one."""

_SMALL = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen"
    " sixteen seventeen eighteen nineteen"
).split()
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()
_SCALES = ("", " thousand", " million", " billion", " trillion", " quadrillion")
_ORDINALS = dict(one="first", two="second", three="third", five="fifth", eight="eighth", nine="ninth", twelve="twelfth")
LARGEST = 10 ** (3 * len(_SCALES)) - 1


def cardinal(number: int) -> str:
    """1234 -> "one thousand two hundred thirty-four"; above `LARGEST` digit by digit."""
    if number < 0:
        return "minus " + cardinal(-number)
    if number > LARGEST:
        return digits(str(number))
    words, scale = "", 0
    while number:
        number, group = divmod(number, 1000)
        if group:
            words = f"{_below_thousand(group)}{_SCALES[scale]} {words}"
        scale += 1
    return words.strip() or _SMALL[0]


def ordinal(number: int) -> str:
    """21 -> "twenty-first"."""
    words = cardinal(number)
    cut = max(words.rfind(" "), words.rfind("-")) + 1
    last = words[cut:]
    return words[:cut] + _ORDINALS.get(last, last[:-1] + "ieth" if last.endswith("y") else last + "th")


def year(number: int) -> str:
    """1984 -> "nineteen eighty-four", 1905 -> "nineteen oh five", 2007 -> "two thousand seven"."""
    century, rest = divmod(number, 100)
    if century % 10 == 0 and rest < 10 or century < 10:
        return cardinal(number)
    return f"{cardinal(century)} " + (f"{'oh ' if rest < 10 else ''}{cardinal(rest)}" if rest else "hundred")


def plural(words: str) -> str:
    """The plural: "nineteen eighty" -> "nineteen eighties", "six" -> "sixes"."""
    return words[:-1] + "ies" if words.endswith("y") else words + ("es" if words.endswith("x") else "s")


def digits(text: str) -> str:
    """Each digit: "105" -> "one zero five"; other characters are skipped."""
    return " ".join(_SMALL[int(one)] for one in text if one in "0123456789")


def _below_thousand(number: int) -> str:
    hundreds, rest = divmod(number, 100)
    words = [f"{_SMALL[hundreds]} hundred"] if hundreds else []
    if rest >= 20:
        words.append(_TENS[rest // 10 - 2] + (f"-{_SMALL[rest % 10]}" if rest % 10 else ""))
    elif rest:
        words.append(_SMALL[rest])
    return " ".join(words)
