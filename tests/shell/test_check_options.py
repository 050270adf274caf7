"""Before any work of a recipe: options that cannot be used, what --init_model leaves out, models that do not fit."""

import pytest

from tests.shell.bash import ok, run
from tests.shell.test_recipe_template import TEMPLATE, fake_python, parts_of, stage, trained

SETS = {
    "asr1": ["--train_set", "train", "--valid_set", "dev"],
    "tts1": ["--tts_train_set", "train", "--tts_valid_set", "dev"],
    "s2s1": ["--train_set", "a", "--tts_train_set", "t", "--dialogue_train_set", "d"],
}


@pytest.fixture
def recipe(tmp_path):
    """Calls its s2s.sh; stage 1 would leave a file."""
    folder = tmp_path / "egs/foo/s2s1"
    ok(TEMPLATE / "setup.sh", folder)
    (folder / "local/data.sh").write_text("#!/bin/sh\ntouch began\nexit 1\n")
    (folder / "hybrid").mkdir()
    (folder / "hybrid/config.json").write_text("{}")

    def call(task, *options):
        found = run(folder / "s2s.sh", "--conf", "conf/tiny", *SETS[task], *options, cwd=folder)
        return found, (folder / "began").exists()

    return call


@pytest.mark.parametrize(
    ("task", "options", "message"),
    [
        ("asr1", ["--unit_kind", "words"], "--unit_kind words: expected llm, bpe, char or word"),
        ("asr1", [], "--llm is empty: --unit_kind llm takes its tokens"),
        (
            "asr1",
            ["--unit_kind", "bpe", "--llm", "x/y", "--adapters", "ctc words"],
            "--adapters words: stage 11 scores it",
        ),
        ("s2s1", ["--unit_kind", "bpe"], "--llm is empty: stage 4 and later stages need a frozen LLM"),
        ("asr1", ["--llm", "./hybrid", "--llm_revision", "v1"], "--llm_revision v1: --llm ./hybrid is a folder"),
        ("asr1", ["--llm_revision", "v1"], "--llm_revision v1: give the hub id"),
        ("s2s1", ["--answers", "gone.jsonl", "--llm", "x/y"], "--answers gone.jsonl: no such file"),
        ("s2s1", ["--answers_url", "host:1", "--llm", "x/y"], "--answers_url host:1: give the base of an API"),
        (
            "s2s1",
            ["--answers", "run.sh", "--answers_url", "http://h/v1"],
            "--answers and --answers_url exclude each other",
        ),
        ("asr1", ["--inference_nj", "0"], "--inference_nj 0: give a number from 1"),
        ("asr1", ["--ngpu", "all"], "--ngpu all: give a number"),
        ("asr1", ["--num_nodes", "2"], "--num_nodes 2: cuda_cmd in cmd.sh is 'run.pl', which knows one machine"),
        ("asr1", ["--gpu_inference", "true", "--device", "cpu"], "--gpu_inference true and --device cpu exclude"),
        ("asr1", ["--gpu_inference", "yes"], "--gpu_inference"),
        ("asr1", ["--llm_dtype", "int8"], "--llm_dtype int8: expected float32, bfloat16 or float16"),
        ("asr1", ["--llm_gguf", "none.gguf"], "--llm_gguf none.gguf: no such file"),
        (
            "asr1",
            ["--llm_gguf", "run.sh", "--gpu_inference", "true"],
            "--llm_gguf run.sh: llama.cpp computes on the CPU: give --llm_gguf ''",
        ),
        (
            "s2s1",
            ["--llm", "x/y", "--transcriber", "w"],
            "--transcriber w: it is the decoder of --encoder: give that, too",
        ),
        (
            "s2s1",
            ["--llm", "x/y", "--encoder", "w", "--transcriber", "w", "--transcribed", "some"],
            "--transcribed some: give a number of utterances, or 0 for all",
        ),
        ("s2s1", ["--init_model", "hybrid"], "--init_model hybrid: no packed model"),
        ("s2s1", ["--init_model", "hybrid", "--tag", "x"], "exclude each other"),
    ],
)
def test_the_run_ends_before_stage_1(recipe, task, options, message):
    found, began = recipe(task, *options)
    assert found.returncode != 0 and message in found.stderr and not began, found.stderr
    assert "Traceback" not in found.stderr


def options_of(folder, script, **options):
    defaults = {"stage": 1, "stop_stage": 14, "skip_stages": "", "unit_kind": "llm", "llm": "", "llm_revision": ""}
    defaults |= {"record": "false", "dry_run": "false", "conf": ".", "init_model": "", "codec": "", "codec_conf": ""}
    defaults |= dict.fromkeys(("train_set", "tts_train_set", "dialogue_train_set", "transcriber"), "")
    found = stage(folder, script, **(defaults | options))
    assert found.returncode == 0, found.stderr
    return found.stdout.split("\n")[:-1]


def test_a_packed_model_leaves_out_what_it_brings(tmp_path):
    (tmp_path / "pack/llm").mkdir(parents=True)
    for name in ("config.yaml", "model.safetensors"):
        (tmp_path / "pack" / name).touch()
    sets = {"train_set": "a", "tts_train_set": "t", "dialogue_train_set": "d", "init_model": "pack", "skip_stages": "4"}
    script = 'check_options; echo "${adapters} ${llm}"; echo $(trainings); '
    script += "for n in 3 4 5 6 7 8 9 10; do if runs $n; then echo $n; fi; done"
    assert options_of(tmp_path, script, **sets) == ["init pack/llm", "dialogue prefix", "7", "8", "10"]


def test_a_transcriber_for_other_adapters_is_not_used(tmp_path):
    script = 'check_options; echo "<${transcriber}>"'
    given = {"encoder": "w", "transcriber": "w", "transcribed": 9}
    assert options_of(tmp_path, script, adapters="pool words", **given) == ["<w>"]
    said, used = options_of(tmp_path, script, adapters="pool conv", **given)
    assert "it is for the adapter words, and --adapters are pool conv: not used" in said and used == "<>"


def test_a_revision_is_a_part_of_the_hub_id(tmp_path):
    assert options_of(tmp_path, 'check_options; echo "${llm}"', llm="a/b", llm_revision="v1") == ["a/b@v1"]


def test_only_trainings_that_have_something_to_do_are_checked(tmp_path):
    assert options_of(tmp_path, "echo $(trainings)", train_set="a") == ["encoder"]
    assert options_of(tmp_path, "echo $(trainings)", train_set="a", llm="l", stop_stage=6) == ["encoder adapter"]
    assert options_of(tmp_path, "echo $(trainings)", tts_train_set="t", llm="l", codec="c:C") == ["speech_decoder"]


def test_the_check_is_done_once(tmp_path):
    fake_python(tmp_path, 'echo "$@" >>ran')
    (tmp_path / "conf").mkdir()
    given = {"train_set": "a", "conf": "conf"}
    checks = [options_of(tmp_path, "mkdir -p exp/.stages; check_models", llm=llm, **given) for llm in "aab"]
    ran = (tmp_path / "ran").read_text().splitlines()
    assert len(ran) == 2 and "nothing changed" in checks[1][0]
    assert "--llm a" in ran[0] and "--stages encoder adapter" in ran[0]


def test_nothing_is_done_after_a_check_that_fails(tmp_path):
    fake_python(tmp_path, "echo 'check_run: error: no' >&2; exit 2")
    (tmp_path / "conf").mkdir()
    script = "stage=1 stop_stage=14 skip_stages=; mkdir -p exp/.stages; check_models; touch began"
    options = {"train_set": "a", "tts_train_set": "", "dialogue_train_set": "", "llm": "", "init_model": ""}
    options |= {"codec": "", "codec_conf": "", "unit_kind": "bpe", "conf": "conf"}
    for _ in range(2):
        found = stage(tmp_path, script, **options)
        assert found.returncode == 2 and "check_run: error: no" in found.stderr, found.stderr
        assert not (tmp_path / "began").exists()


def test_parts_of_a_packed_model_take_the_place_of_earlier_stages(tmp_path):
    (tmp_path / "pack").mkdir()
    init = {"init_model": "pack", "adapters": "init"}
    (tmp_path / "pack/config.yaml").write_text("ctc_units: 0\n")
    assert parts_of(tmp_path, "dialogue", **init) == ["pack:encoder,adapter"]
    (tmp_path / "pack/config.yaml").write_text("ctc_units: 9\nllm_tuning: {lora: {}}\n")
    assert parts_of(tmp_path, "dialogue", **init) == ["pack:encoder,ctc,adapter,llm_tuning"]
    assert parts_of(tmp_path, "prefix", **init) == ["pack:speech_decoder,llm_tuning"]
    trained(tmp_path / "exp", "1.3_dialogue_init", llm_tuning={"lora": {}})
    assert parts_of(tmp_path, "prefix", **init) == ["pack:speech_decoder", "exp/1.3_dialogue_init:llm_tuning"]
    said = ["exp/1.3_dialogue_init:prompt,state_head,llm_tuning", "exp/2.3_prefix:speech_decoder"]
    assert parts_of(tmp_path, "pack", **init) == said


def test_a_program_that_is_missing_is_named(tmp_path):
    found = stage(tmp_path, "PATH=/nowhere; check_programs")
    assert found.returncode == 1 and "no program flock: install it (Debian: util-linux" in found.stderr


def test_an_old_bash_is_told():
    """As macOS has one; the variable is read-only, so that the line is tried with another."""
    (line,) = [line for line in (TEMPLATE / "s2s.sh").read_text().splitlines() if "BASH_VERSINFO" in line]
    for major, code in ((3, 1), (5, 0)):
        found = run("bash", "-c", f"version=({major}); " + line.replace("BASH_VERSINFO", "version"))
        assert found.returncode == code and ("the recipes run on Linux" in found.stderr) == bool(code)
