"""The jobs of an array share the pieces of a set."""

import pytest

from freeze_omni.data.parts import WHOLE, Part


@pytest.mark.parametrize("count", [1, 2, 3, 7, 12])
def test_each_piece_is_in_one_part(count):
    parts = [Part.parse(f"{number}/{count}") for number in range(1, count + 1)]
    assert sorted(piece for part in parts for piece in part.of(range(7))) == list(range(7))
    assert [part.alone for part in parts] == [count == 1] * count and str(parts[-1]) == f"{count}/{count}"


def test_without_an_array_all_pieces_are_ours():
    assert WHOLE.of("abc") == ["a", "b", "c"] and WHOLE.alone


@pytest.mark.parametrize("text", ["", "1", "0/2", "3/2", "-1/2", "a/b", "1/2/3"])
def test_what_is_no_part_is_refused(text):
    with pytest.raises(ValueError, match="is no part"):
        Part.parse(text)
