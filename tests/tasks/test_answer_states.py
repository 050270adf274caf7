"""What is kept of the frozen LLM's states, and what is not."""

import torch

from freeze_omni.tasks.answer_states import AnswerStates

CPU = torch.device("cpu")


def test_states_are_read_once_while_there_is_room():
    kept, read = AnswerStates(most_bytes=2 * 12), []

    def states(numbers):
        read.append(numbers)
        return [torch.full((1, 3), float(number)) for number in numbers]

    first = kept.of(["a", "b"], states, CPU)
    assert [row.tolist() for row in first] == [[[0.0] * 3], [[1.0] * 3]]
    again = kept.of(["b", "c", "a"], states, CPU)
    assert [row[0, 0].item() for row in again] == [1, 1, 0]
    kept.of(["c"], states, CPU)
    assert read == [[0, 1], [1], [0]], "c has no room, and is read each time"


def test_what_is_kept_is_no_view_of_a_batch():
    kept, whole = AnswerStates(2**20), torch.zeros(4, 3)
    kept.of(["a"], lambda _: [whole[:1]], CPU)
    whole += 1
    assert not kept.of(["a"], lambda _: [], CPU)[0].any()
