"""A job that fails says its error and what fixes it, not only where its log is."""

import pytest

from tests.shell.test_recipe_template import fake_python, stage

pytestmark = pytest.mark.processes

TRAINING = "num_nodes=1 ngpu=0 nthreads=1; threads=(env); read_overrides encoder; "
TRAINING += "once work -- train_part work encoder conf/mini/1.1_encoder.yaml"
JOB = "once work -- job exp/work/x.log python x.py"


@pytest.mark.parametrize(
    ("work", "does", "error", "fix"),
    [
        (TRAINING, "echo 'torch.OutOfMemoryError: CUDA out of memory.'; exit 1", "torch.OutOfMemoryError: CUDA out of",
         'lower batch_bins (or batch_size) and raise accum_grad in conf/mini/1.1_encoder.yaml, or with --encoder_args'),
        (TRAINING, "kill -9 $$", "killed: out of memory", "lower batch_bins"),
        (TRAINING, "echo 'ValueError: a setting'; exit 1", "ValueError: a setting", "in conf/mini/1.1_encoder.yaml"),
        (TRAINING, "echo 'train encoder: error: conf/x: y'; exit 2", "train encoder: error: conf/x: y", None),
        (JOB, "echo 'OSError: [Errno 28] No space left on device'; exit 1", "OSError: [Errno 28]", "--dumpdir"),
        (JOB, "echo \"ModuleNotFoundError: No module named 'x'\"; exit 1", "ModuleNotFoundError", "tools/install.sh"),
        (JOB, "exit 3", "ended with code 3, without an error message", None),
    ],
)  # fmt: skip
def test_the_error_and_its_fix_are_printed(work, does, error, fix, tmp_path):
    fake_python(tmp_path, f"echo 'before the error'; {does}")
    found = stage(tmp_path, work)
    assert found.returncode != 0 and "before the error" in found.stderr
    lines = found.stderr.splitlines()
    (told,) = [line for line in lines if line.startswith("s2s.sh: error in ")]
    assert error in told and ".log: " in told, found.stderr
    fixes = [line for line in lines if line.startswith("fix: ")]
    assert (fix in fixes[0]) if fix else not fixes, found.stderr
    assert "# Accounting" not in found.stderr and "finished work is kept" in lines[-1]


def test_a_job_that_was_ended_by_the_queue_is_told(tmp_path):
    (tmp_path / "log").write_text("# python x\n# Started at Monday\nworks\n")
    found = stage(tmp_path, "show_failure log python x")
    assert "ended from outside" in found.stderr and "fix: raise --time and --mem" in found.stderr
