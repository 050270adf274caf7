"""Which item of a test set another system's id means: the item's own id, its number, or another name of it."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from freeze_omni.data.tables import TableError

Columns = Sequence[Sequence[str]]  # further names of all items, such as those of their sounds, a column each
_NUMBER = re.compile(r"((?:web-|llama-)?)([0-9]{1,9})")  # ids that are given by counting, as 0003 or web-00003


def by_known_ids[T](found: Mapping[str, T], known: Sequence[str], where: Path, others: Columns = ()) -> dict[str, T]:
    """`found` under the test set's ids. known: these, in its order; where they only count, a number is a number.

    Raises TableError if the ids count from somewhere else than the test set, or if two columns have them all and
    disagree. What no column has in full stays as it is.
    """
    ways = {tuple(way) for way in _ways(list(found), known, others) if None not in way}
    if len(ways) > 1:
        fix = f"write them as {known[0]}, ..."
        raise TableError(f"{where}: its ids may be numbers of items, or names of theirs such as their sounds'; {fix}")
    if ways:
        (ids,) = ways
        if len(set(ids)) < len(ids):
            raise TableError(f"{where}: two of its ids are the same number; remove one")
        return dict(zip(ids, found.values(), strict=True))
    numbers = [number for number in _numbers(list(found), known) if number >= 0]
    if numbers and (0 not in numbers or max(numbers) >= len(known)):
        ours = f"the test set's from 0 to {len(known) - 1}"
        raise TableError(f"{where}: its ids count from {min(numbers)} to {max(numbers)}, {ours}; correct the ids")
    return dict(found)


def _ways(found: Sequence[str], known: Sequence[str], others: Columns) -> Iterator[list[str | None]]:
    """The items that `found` means in each column, None for none."""
    exact = others if _counts(known) else (known, *others)
    for column in exact:
        items = dict(zip(column, known, strict=True))
        if len(items) == len(known):
            yield [items.get(key) for key in found]
    if 0 in (numbers := _numbers(found, known)):  # else they may count from 1
        yield [known[number] if 0 <= number < len(known) else None for number in numbers]


def _numbers(found: Sequence[str], known: Sequence[str]) -> list[int]:
    """The numbers of ids found, -1 for what is none; nothing where the test set does not count."""
    if not _counts(known):
        return []
    own, matches = _NUMBER.fullmatch(known[0]), [_NUMBER.fullmatch(key) for key in found]
    return [int(match[2]) if match and match[1] in ("", own and own[1]) else -1 for match in matches]


def _counts(known: Sequence[str]) -> bool:
    """Whether the ids are numbers from 0."""
    matches = [_NUMBER.fullmatch(key) for key in known]
    return bool(known) and [match and int(match[2]) for match in matches] == list(range(len(known)))
