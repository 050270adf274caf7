"""A training on two nodes, from the stage itself: two processes of this machine act as the nodes."""

import pytest
import torch

from tests.shell.slurm import asked, fake_slurm
from tests.shell.test_recipe_template import fake_python, stage

pytestmark = pytest.mark.processes

OPTIONS = {
    "cuda_cmd": "slurm.pl --partition gpu --mem 64G",
    "num_nodes": "2",
    "nthreads": "1",
    "seed": "1",
    "ngpu": "0",
}
STILL = {"input_size": 80, "size": 16, "heads": 2, "layers": 1}


def test_srun_starts_the_training_on_each_node(tmp_path):
    fake_python(tmp_path, "echo $SLURM_PROCID $SLURM_NTASKS >>ranks")
    fake_slurm(tmp_path)
    found = stage(
        tmp_path,
        "work_changed=false; threads=(env A=1); train_part one encoder c.yaml --x y",
        **OPTIONS | {"ngpu": "4"},
    )
    assert found.returncode == 0, found.stderr
    assert sorted((tmp_path / "ranks").read_text().split("\n")) == ["", "0 2", "1 2"]
    (line,) = asked(tmp_path)
    assert "--mem=64G --gres=gpu:4 --nodes=2 --ntasks-per-node=1" in line
    log = (tmp_path / "exp/one/run.log").read_text()
    assert "srun --export=ALL python -m freeze_omni.bin.train encoder" in log
    assert f"--dist_launcher slurm --dist_init_method file://{tmp_path}/exp/one/.meeting" in log
    assert "--multiprocessing_distributed true" in log and "--dist_backend" not in log


def test_two_nodes_train_as_one_process(tmp_path):
    """The same weights as one process with the same batches; one of the two writes."""
    import yaml

    from freeze_omni.llm.units import CtcUnits
    from tests.tasks.corpus import ENCODER, TEXTS, write_corpus

    write_corpus(tmp_path / "data")
    CtcUnits.from_characters(TEXTS).save(tmp_path / "units")
    conf = {"model": {"encoder": ENCODER | {"dropout": 0.0, "layers": 2}}, "optim_conf": {"lr": 2e-3}, "max_epoch": 1}
    conf |= {"batch_type": "unsorted", "batch_size": 2, "num_iters_per_epoch": 3, "use_matplotlib": False}
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(conf))
    fake_slurm(tmp_path)
    train = "train_part NAME encoder c.yaml --train_dir data --valid_dir data --units units --num_workers 0"
    both = f"threads=(env OMP_NUM_THREADS=1); {train.replace('NAME', 'two')}; num_nodes=1 cuda_cmd=run.pl; "
    found = stage(tmp_path, both + train.replace("NAME", "one"), timeout_s=300, **OPTIONS)
    assert found.returncode == 0, found.stderr
    one, two = (torch.load(tmp_path / "exp" / name / "1epoch.pth", weights_only=True) for name in ("one", "two"))
    for key in one:
        torch.testing.assert_close(two[key], one[key], rtol=1e-3, atol=1e-4)
    starts = (tmp_path / "exp/two/env.yaml").read_text()
    assert starts.count("command:") == (tmp_path / "exp/one/env.yaml").read_text().count("command:") == 1
