"""conf/paper on eight GPUs: ESPnet builds the batches of every stage, and each process gets its part of each."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile
import torch
from espnet2.train.distributed_utils import DistributedOption
from torch.testing._internal.distributed.fake_pg import FakeStore

from freeze_omni.tasks.data_dirs import add_data_dirs
from tests.tasks.corpus import TEXTS
from tests.test_conf import FILES, parsed

ROWS = {"train": 1500, "valid": 300}
MOST_S = {"1.1_encoder": 240, "1.2_adapter_conv": 120, "1.2_adapter_ctc": 120}  # padded sound of a process in a batch
MOST_ROWS = {"1.3_dialogue": 5, "2.1_codec": 22, "2.2_speech_decoder": 10, "2.3_prefix": 5}


@pytest.fixture(scope="module")
def eight():
    """Rank 0 of 8: nothing is sent anywhere."""
    torch.distributed.init_process_group("fake", store=FakeStore(), rank=0, world_size=8)
    yield DistributedOption(distributed=True)
    torch.distributed.destroy_process_group()


@pytest.fixture(scope="module")
def wide(tmp_path_factory):
    """Data directories with speech of 0.4 to 30 s, of which one file is there, at the rate of every stage."""
    folder, draw = tmp_path_factory.mktemp("wide"), np.random.default_rng(1)
    for hz in (16000, 24000):
        soundfile.write(folder / f"{hz}.wav", np.zeros(hz), hz)
        for role, count in ROWS.items():
            data = folder / f"{role}{hz}"
            data.mkdir()
            seconds = np.clip(draw.lognormal(1.8, 0.7, count), 0.4, 30)
            rows = {
                "wav.scp": [folder / f"{hz}.wav"] * count,
                "utt2num_samples": (hz * seconds).astype(int),
                **{name: [TEXTS[0]] * count for name in ("text", "answer")},
                "states": ["0 0 1"] * count,
                "tokens": ["7 " * max(1, int(40 * second)) for second in seconds],
                "durations": ["1 1"] * count,
            }
            for name, column in rows.items():
                lines = (f"u{number:05} {value}\n" for number, value in enumerate(column))
                (data / name).write_text("".join(lines))
    return folder


@pytest.mark.parametrize("name", FILES)
def test_eight_processes_share_every_batch(name, toy, wide, eight, tmp_path):
    task, args = parsed("paper", name)
    hz = task.sample_hz
    args.llm, args.units, args.output_dir = str(toy.folder / "llm"), str(toy.folder / "units"), str(tmp_path)
    args.train_dir, args.valid_dir = [str(wide / f"train{hz}")], [str(wide / f"valid{hz}")]
    needed = task.needed(task.set_up(args)[0])
    add_data_dirs(args, task.files, tuple(set(task.optional) - set(needed)), hz)
    for mode in ("train", "valid"):
        factory = task.build_iter_factory(args, eight, mode)
        batches = [factory.dataset.batch(number) for number in factory.sampler]
        lengths = dict(line.split() for line in open(getattr(args, f"{mode}_shape_file")[0]))
        assert batches and all(batches)
        most = max(len(batch) * max(int(lengths[uid]) for uid in batch) for batch in batches)
        assert most / hz <= MOST_S.get(name, 1e9)
        if mode == "train":
            assert max(map(len, batches)) <= MOST_ROWS.get(name, 1e9)
