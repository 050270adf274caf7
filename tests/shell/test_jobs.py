"""How the stages start work: one job or an array, by run.pl and by a queue, with the resources that it asks for."""

import re

import pytest

from tests.shell.bash import ok
from tests.shell.slurm import asked, fake_slurm
from tests.shell.test_recipe_template import fake_python, stage

pytestmark = pytest.mark.processes

SLURM = {"decode_cmd": "slurm.pl --partition cpu --mem 16G", "cuda_cmd": "slurm.pl --partition gpu --mem 64G"}
# A map over eight items: a part makes its own, without a part all that are missing are made, and merged.
MAP = """
part=1/1
while [ $# -gt 0 ]; do
    case $1 in --part) part=$2; shift ;; esac
    shift
done
mkdir -p made
for item in 1 2 3 4 5 6 7 8; do
    if [ $(((item - 1) % ${part#*/} + 1)) = "${part%/*}" ] || [ "${part}" = 1/1 ]; then
        if [ ! -e "made/${item}" ]; then echo "item ${item}" >"made/${item}"; echo "${item} by ${part}" >>log; fi
    fi
done
if [ "${part}" = 1/1 ]; then cat made/* >merged; fi
"""


@pytest.fixture
def recipe(tmp_path):
    """Runs lines of the stages where `python` is the map, and a queue is there."""
    fake_python(tmp_path, MAP)
    fake_slurm(tmp_path)

    def call(script, **options):
        return stage(tmp_path, script, **options)

    return call


@pytest.mark.parametrize("runner", [{}, SLURM], ids=["run.pl", "slurm.pl"])
@pytest.mark.parametrize("jobs", [1, 3])
def test_a_map_gives_the_same_in_one_job_and_in_more(recipe, tmp_path, runner, jobs):
    found = recipe("infer out/x.log python map", inference_nj=str(jobs), **runner)
    assert found.returncode == 0, found.stderr
    assert (tmp_path / "merged").read_text() == "".join(f"item {item}\n" for item in range(1, 9))
    made = {line.split(" by ")[1] for line in (tmp_path / "log").read_text().splitlines()}
    assert made == ({"1/1"} if jobs == 1 else {f"{number}/{jobs}" for number in range(1, jobs + 1)})
    logs = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert logs == sorted(["x.log"] + [f"x.{number}.log" for number in range(1, jobs + 1) if jobs > 1])


def test_what_a_job_asks_the_queue_for(recipe, tmp_path):
    """Threads and memory of each job, a GPU for networks; what is made from sound asks for one thread a job."""
    script = "infer out/x.log python map; prepare out/y.log python map; job out/z.log python map"
    recipe(script, inference_nj="2", nthreads="4", nj="3", gpu_inference="true", **SLURM)
    network, merge, sound, tables, plain = asked(tmp_path)
    for line in (network, merge):
        assert "--partition=gpu --mem=64G --gres=gpu:1" in line
    assert network.endswith("--array=1-2") and "--array" not in merge + tables + plain
    assert "--partition=cpu --mem=16G --cpus-per-task=1 --array=1-3" in sound
    for line in (tables, plain):
        assert "--partition=cpu --mem=16G --cpus-per-task=4" in line
    (tmp_path / "asked").unlink()
    recipe("infer out/x.log python map", inference_nj="2", nthreads="4", **SLURM)
    assert all("--partition=cpu --mem=16G --cpus-per-task=4" in line for line in asked(tmp_path))


@pytest.mark.parametrize(
    ("options", "device"),
    [({}, "cpu"), ({"gpu_inference": "true"}, "cuda"), ({"device": "cuda:1"}, "cuda:1"), ({"device": "mps"}, "mps")],
)
def test_a_network_is_told_its_device(recipe, tmp_path, options, device):
    recipe("infer out/x.log python map", **options)
    assert f"python map --device {device}\n" in (tmp_path / "out/x.log").read_text()


def test_on_this_machine_data_is_prepared_by_processes_of_one_job(recipe, tmp_path):
    recipe("prepare out/x.log python map", nj="3")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["x.log"]
    assert "python map --nj 3\n" in (tmp_path / "out/x.log").read_text()


def test_a_killed_array_makes_what_is_missing(recipe, tmp_path):
    """The second job dies once; all are started again, and the items of the others are not made twice."""
    fake_python(tmp_path, 'case "$*" in *2/3*) if [ ! -e died ]; then touch died; kill -9 $$; fi ;; esac' + MAP)
    found = recipe("once work --makes merged -- infer out/x.log python map", inference_nj="3")
    assert found.returncode != 0 and "s2s.sh: error in out/x.2.log: killed: out of memory" in found.stderr
    before = (tmp_path / "log").read_text().splitlines()
    found = recipe("once work --makes merged -- infer out/x.log python map", inference_nj="3")
    assert found.returncode == 0, found.stderr
    after = (tmp_path / "log").read_text().splitlines()[len(before) :]
    assert {line.split(" by ")[1] for line in before} == {"1/3", "3/3"}
    assert {line.split(" by ")[1] for line in after} == {"2/3"} and len(before) + len(after) == 8
    assert (tmp_path / "merged").read_text().count("\n") == 8


def test_an_array_takes_turns_while_jobs_wait_for_each_other(recipe, tmp_path):
    """A job that lacks what others make says so; the next turn goes on, and the merging job finds all."""
    fake_python(
        tmp_path,
        'for word in "$@"; do case $word in */*) part=${word%/*} ;; esac; done\n'
        'if [ -z "$part" ]; then cat first.1 first.2 second.1 second.2 >merged; exit; fi\n'
        "echo $part >>turns; touch first.$part; sleep 0.3\n"
        'if [ "$(wc -l <turns)" -lt 3 ]; then echo "left to the next turn: firsts"; exit 0; fi\n'
        "touch second.$part",
    )
    found = recipe("infer out/x.log python map", inference_nj="2")
    assert found.returncode == 0, found.stderr
    assert sorted((tmp_path / "turns").read_text().split()) == ["1", "1", "2", "2"] and (tmp_path / "merged").exists()


STATS = {"datadir": "data", "train_set": "a", "valid_set": "b", "optional_train_sets": "", "conf": "conf"}


@pytest.mark.parametrize("jobs", [1, 2])
def test_statistics_are_collected_by_shards_of_one_size(recipe, tmp_path, jobs):
    """Ten utterances by shards of four: three, whatever --nj is; a shard that is there is not made again."""
    for name, lines in (("a", 10), ("b", 5)):
        (tmp_path / f"dump/raw/{name}").mkdir(parents=True)
        (tmp_path / f"dump/raw/{name}/text").write_text("".join(f"u{line} words\n" for line in range(lines)))
    does = (
        "while [ $# -gt 0 ]; do case $1 in --output_dir) out=$2 ;; --train_shape_file) train=$2 ;; "
        "--valid_shape_file) valid=$2 ;; esac; shift; done\n"
        'if [ -z "$train" ]; then mkdir -p $out; touch $out/merged; exit; fi\n'
        'mkdir -p $out/valid; echo "$(paste -sd, $train) $(paste -sd, $valid)" >>shards; touch $out/valid/stats_keys'
    )
    fake_python(tmp_path, does)
    script = "work_changed=false; pretrained=(); collect_stats exp/stats"
    found = recipe(f"mkdir -p exp/stats/shards/3/valid; touch exp/stats/shards/3/valid/stats_keys; {script}",
                   stats_shard_utterances="4", nj=str(jobs), **STATS)  # fmt: skip
    assert found.returncode == 0, found.stderr
    shards = sorted((tmp_path / "shards").read_text().splitlines())
    assert shards == ["u0,u1,u2,u3 u0,u1", "u4,u5,u6 u2,u3"], "the third was there: u7,u8,u9 u4"
    log = (tmp_path / "exp/stats/collect_stats.log").read_text()
    assert re.findall(r"--input_dir \S*/(\d)", log) == ["1", "2", "3"]
    (tmp_path / "shards").unlink()
    found = recipe(script, stats_shard_utterances="20", nj=str(jobs), **STATS)
    assert found.returncode == 0 and not (tmp_path / "shards").exists(), "a small set is collected at once"


def test_an_answer_of_the_llm_here_comes_before_the_rest_if_it_has_a_gpu_or_jobs(recipe, tmp_path):
    options = {"dialogue_conf": "d.yaml", "llm": "llm", "threads": "env"}
    recipe("make_dialogues", **options)
    logs = tmp_path / "dump/dialogue/log"
    assert [path.name for path in logs.iterdir()] == ["make_dialogue.log"]
    recipe("make_dialogues", inference_nj="2", **options)
    assert "--until answers --device cpu --part 2/2\n" in (logs / "answers.2.log").read_text()
    assert "--until" not in (logs / "make_dialogue.log").read_text() and not (logs / "judged.log").exists()
    (logs / "answers.log").unlink()
    recipe("make_dialogues", inference_nj="2", answers_url="http://h/v1", **options)
    assert not (logs / "answers.log").exists()


def test_the_judge_of_stage_4_has_the_device_of_networks(recipe, tmp_path):
    """Speech is made before it hears the answers, by jobs without a GPU; so are scenes, which need no judge."""
    options = {"dialogue_conf": "d.yaml", "llm": "llm", "threads": "env", "answers_url": "http://h/v1", "nj": "2"}
    recipe("make_dialogues --judge J", gpu_inference="true", **options, **SLURM)
    logs = tmp_path / "dump/dialogue/log"
    for name, until in (("answers", "answers"), ("judged", "judged")):
        assert f"--judge J --until {until} --device cuda\n" in (logs / f"{name}.log").read_text()
    assert "--until speech --nj 2\n" in (logs / "speech.log").read_text()
    assert "--judge J --nj 2\n" in (logs / "make_dialogue.log").read_text()
    gpus = ["--gres=gpu:1" in line for line in asked(tmp_path)]
    assert gpus == [True, False, False, True, False, False], "arrays of speech and scenes, and their merging, have none"


def test_durations_are_an_array_on_a_queue(recipe, tmp_path):
    """Texts are timed by --nj jobs of one thread, which wait for the first of them, and merged."""
    fake_python(
        tmp_path,
        'case "$*" in\n'
        '*"--part 1/2"*) if [ ! -e known ]; then touch known; echo "left to the next turn: x"; else touch 1; fi ;;\n'
        '*--part*) if [ -e known ]; then touch 2; else echo "left to the next turn: x"; fi ;;\n'
        "*) cat 1 2 && touch merged ;;\nesac",
    )
    sets = {"tts_valid_set": "dev", "dialogue_train_set": "", "dialogue_valid_set": "", "llm": "L", "conf": "c"}
    (tmp_path / "dump/codec/dev").mkdir(parents=True)
    found = recipe("threads=(env); time_texts dump/codec/ train", nj="2", speech_decoder_args="", **sets, **SLURM)
    assert found.returncode == 0 and (tmp_path / "merged").exists(), found.stderr
    assert all("--partition=cpu --mem=16G --cpus-per-task=1 --array=1-2" in line for line in asked(tmp_path)[:-1])
    assert "--token_dir" in (tmp_path / "dump/codec/log/time_text.2.log").read_text()


def test_help_lists_where_work_runs(tmp_path):
    from tests.shell.test_recipe_template import TEMPLATE

    ok(TEMPLATE / "setup.sh", tmp_path / "egs/foo/asr1")
    said = ok(tmp_path / "egs/foo/asr1/s2s.sh", "--help", cwd=tmp_path / "egs/foo/asr1")
    for name in ("ngpu", "num_nodes", "nj", "inference_nj", "gpu_inference", "device", "llm_dtype"):
        assert f"{name}=" in said or f"--{name}" in said
