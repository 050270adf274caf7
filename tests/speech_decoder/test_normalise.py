"""Text as it is spoken."""

from __future__ import annotations

import sys

import pytest

from freeze_omni.speech_decoder.cardinals import cardinal, ordinal, year
from freeze_omni.speech_decoder.normalise import normalise, spoken_english, text_styler

RELEASED = {
    "Hello (world)": "Hello ,world.",
    "*Bold* and `code`": "Bold and code.",
    "a line\nand another": "a lineand another.",
    "1. First": "1:First.",
    "1. 好": "1：好。",
    "苹果、梨（红）": "苹果，梨，红。",
    "so,": "so.",
    "one: two. three;": "one:two.three.",
    "Really?": "Really?",
    "": "",
}
ENGLISH = {
    "Dr. Lee paid $3.50 at 10:05 on May 1st, 1984.": (
        "Doctor Lee paid three dollars and fifty cents at ten oh five on May first, nineteen eighty-four."
    ),
    "$3.5 million, £1.01, €20": ("three point five million dollars, one pound and one penny, twenty euros"),
    "$0.99": "ninety-nine cents",
    "It is 9 p.m. Go home.": "It is nine p m. Go home.",
    "at 9 p.m.": "at nine p m.",
    "12:00 or 7:30am": "twelve o'clock or seven thirty a m",
    "the 1980s and '90s": "the nineteen eighties and 'nineties",
    "1905, 2000, 2007, 2010, 1,905": (
        "nineteen oh five, two thousand, two thousand seven, twenty ten, one thousand nine hundred five"
    ),
    "5% of 70kg at -5°C": ("five percent of seventy kilograms at minus five degrees Celsius"),
    "10 - 3 = 7, 10-12": "ten minus three equals seven, ten to twelve",
    "1/2, 3/4 and 24/7": "one half, three quarters and twenty-four seven",
    "call 555-1234": "call five five five, one two three four",
    "2024-01-15": "January fifteenth, twenty twenty-four",
    "007 B2B 3.14": "zero zero seven B two B three point one four",
    "Martin Luther King Jr.": "Martin Luther King Junior.",
    "R&D vs. vsauce, e.g. #1": "R and D versus vsauce, for example, number one",
    "1 km, 2 km": "one kilometer, two kilometers",
}


CHINESE = {
    "我有3个苹果, 5 km。": "我有三个苹果, 五公里。",
    "2021年5月3日，2024-01-15": "二零二一年五月三日，二零二四年一月十五日",
    "10:30见，9:00开会，8:05走": "十点三十分见，九点整开会，八点零五分走",
    "温度-5℃，50%的人，第3名": "温度负五摄氏度，百分之五十的人，第三名",
    "要¥20，不是$3.5": "要二十元，不是三点五美元",
    "2个，12个，1.2个，1,234人": "两个，十二个，一点二个，一千二百三十四人",
    "电话13812345678，代码007": "电话一三八一二三四五六七八，代码零零七",
    "3-5天，3+4=7，一半是1/2": "三到五天，三加四等于七，一半是二分之一",
    "It is 5 km.": "It is five kilometers.",
    "你好！": "你好！",
    "": "",
}


@pytest.mark.parametrize("text", RELEASED)
def test_released_normalisation(text):
    assert normalise(text) == RELEASED[text]


@pytest.mark.parametrize("text", ENGLISH)
def test_spoken_english(text):
    assert spoken_english(text) == ENGLISH[text]


def test_spoken_english_leaves_chinese_as_it_is():
    assert spoken_english(" 我有3个 苹果, 5 km。") == "我有3个 苹果, 5 km。"


@pytest.mark.parametrize("text", CHINESE)
def test_spoken_chinese(text):
    spoken = text_styler("chinese")(text)
    assert spoken == CHINESE[text]
    assert text_styler("chinese")(spoken) == spoken


def test_chinese_without_its_extra_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "cn2an", None)
    monkeypatch.delitem(sys.modules, "freeze_omni.speech_decoder.normalise_chinese")
    with pytest.raises(ImportError, match=r"cn2an: pip install 'freeze-omni\[chinese\]'"):
        text_styler("chinese")


@pytest.mark.parametrize("text", ENGLISH)
def test_spoken_english_leaves_no_digit_and_words_alone(text):
    spoken = spoken_english(text)
    assert not any(character.isdigit() for character in spoken)
    assert spoken_english(spoken) == spoken


def test_numbers():
    assert cardinal(0) == "zero"
    assert cardinal(1_002_013) == "one million two thousand thirteen"
    assert cardinal(-40) == "minus forty"
    assert cardinal(10**18) == "one" + " zero" * 18
    assert [ordinal(n) for n in (1, 12, 20, 23, 100)] == [
        "first",
        "twelfth",
        "twentieth",
        "twenty-third",
        "one hundredth",
    ]
    assert [year(n) for n in (1066, 1900, 2001)] == [
        "ten sixty-six",
        "nineteen hundred",
        "two thousand one",
    ]
