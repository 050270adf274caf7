"""Where a job computes."""

import argparse

import pytest
import torch

from freeze_omni.bin.where import add_part, device_of, one_part
from freeze_omni.config import ConfigError
from freeze_omni.data.parts import LeftToOthers, Part, PartDone


def test_a_gpu_is_that_of_the_turn_of_a_part(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    found = [device_of("cuda", Part(number, 5)).index for number in range(1, 6)]
    assert found == [0, 1, 0, 1, 0]
    assert device_of("cuda:1", Part(1, 5)) == torch.device("cuda:1") and device_of("cpu").type == "cpu"
    with pytest.raises(ConfigError, match="--device cuda:2: there are 2 GPUs"):
        device_of("cuda:2")


@pytest.mark.parametrize(
    ("device", "fault"), [("cuda", "no GPU here"), ("mps", "no such device"), ("x y", "no such kind")]
)
def test_a_device_that_is_not_there_is_refused(monkeypatch, device, fault):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(ConfigError, match=fault):
        device_of(device)


def test_a_part_is_read_and_a_wrong_one_refused(capsys):
    parser = argparse.ArgumentParser()
    add_part(parser)
    assert parser.parse_args(["--part", "3/8"]).part == Part(3, 8) and parser.parse_args([]).part.alone
    with pytest.raises(SystemExit):
        parser.parse_args(["--part", "9/8"])
    assert "'9/8' is no part: expected NUMBER/COUNT" in capsys.readouterr().err


def test_a_job_ends_after_its_part_and_says_if_it_waits_for_others(capsys):
    for end, said in ((PartDone(), ""), (LeftToOthers("answers"), "left to the next turn: answers\n")):
        with one_part():
            raise end
        assert capsys.readouterr().out == said
