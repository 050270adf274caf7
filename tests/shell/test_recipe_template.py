"""The driver of the recipes: --help, checks before work, finished work that is not done again, new recipes."""

import os
import re
import shutil

import pytest
import yaml

from tests.shell.bash import ROOT, make_data_dir, ok, run

TEMPLATE = ROOT / "egs" / "TEMPLATE" / "s2s1"


@pytest.fixture
def recipe(tmp_path):
    folder = tmp_path / "egs" / "foo" / "asr1"
    ok(TEMPLATE / "setup.sh", folder)
    return folder


def once(folder, *inputs, command="true"):
    """Call `once work INPUTS -- COMMAND` of the template in `folder`."""
    script = (
        f"set -euo pipefail; . {TEMPLATE}/stages/00_common.sh; expdir=exp; work_done=false; mkdir -p exp/.stages; "
        f'once work "$@" -- bash -c "mkdir -p exp/work; {command}"; echo "work_done=$work_done"'
    )
    return run("bash", "-c", script, "once", *inputs, cwd=folder)


def test_work_is_skipped_until_an_input_changes(tmp_path):
    (tmp_path / "conf.yaml").write_text("a: 1\n")
    command = "date +%N >> exp/work/ran"
    assert "work_done=true" in once(tmp_path, "conf.yaml", command=command).stdout
    assert "work_done=false" in once(tmp_path, "conf.yaml", command=command).stdout
    assert len((tmp_path / "exp/work/ran").read_text().splitlines()) == 1
    (tmp_path / "conf.yaml").write_text("a: 2\n")
    assert "work_done=true" in once(tmp_path, "conf.yaml", command=command).stdout
    kept = list((tmp_path / "exp").glob("work.*/ran"))
    assert len(kept) == 1, "the old folder must be kept"


def test_seconds_of_a_stage_are_those_of_its_whole_work(tmp_path):
    """Done whole, done in part in less time, done in part in more, not done, done whole in less time."""
    (tmp_path / "exp/.stages").mkdir(parents=True)
    script = (
        f"set -euo pipefail; . {TEMPLATE}/stages/00_common.sh; expdir=exp; "
        'work_done=$1 work_skipped=$2; note_time 4 "$3"; cat exp/.stages/seconds.4'
    )
    times = {"true false 90": 90, "true true 5": 90, "true true 95": 95, "false true 1": 95, "true false 7": 7}
    for call, noted in times.items():
        found = run("bash", "-c", script, "note", *call.split(), cwd=tmp_path).stdout
        assert found == f"{noted}\n", call


def test_a_skipped_part_is_noticed(tmp_path):
    script = (
        f"set -euo pipefail; . {TEMPLATE}/stages/00_common.sh; expdir=exp; mkdir -p exp/.stages exp/work; "
        'work_done=false work_skipped=false; once work "$0" -- true; echo "work_skipped=$work_skipped"'
    )
    assert "work_skipped=false" in run("bash", "-c", script, "word", cwd=tmp_path).stdout
    assert "work_skipped=true" in run("bash", "-c", script, "word", cwd=tmp_path).stdout


@pytest.mark.parametrize("makes", [[], ["--makes", "dump", "data"]])
def test_what_was_deleted_is_made_again(tmp_path, makes):
    command = "mkdir -p dump data; date +%N >> exp/work/ran"
    assert "work_done=true" in once(tmp_path, "word", *makes, command=command).stdout
    assert "work_done=false" in once(tmp_path, "word", *makes, command=command).stdout
    gone = makes[-1] if makes else "exp/work"
    shutil.rmtree(tmp_path / gone)
    again = once(tmp_path, "word", *makes, command=command).stdout
    assert "work_done=true" in again and f"{gone} is not there any more" in again
    assert not list((tmp_path / "exp").glob("work.*")), "what is left of it is gone on with"
    assert len((tmp_path / "exp/work/ran").read_text().splitlines()) == (2 if makes else 1)


def test_deleted_sets_and_tokens_are_made_again(tmp_path):
    """Each stage that writes outside of exp/ names what it makes."""
    (tmp_path / "local").mkdir()
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/python").write_text("#!/bin/sh\ncase $* in *make_dialogue*) mkdir -p dump/dialogue/d ;; esac\n")
    (tmp_path / "bin/python").chmod(0o755)
    (tmp_path / "dialogue.yaml").write_text("seed: 1\n")
    sets = {"train_set": "a", "valid_set": "b", "test_sets": "c", "optional_train_sets": "", "optional_test_sets": ""}
    sets |= {"tts_train_set": "t", "tts_valid_set": "u", "tts_test_set": "", "qa_test_set": "", "scene_test_set": ""}
    sets |= {"dialogue_train_set": "d", "dialogue_valid_set": "", "spoken_test_set": "", "local_data_opts": ""}
    options = {"min_wav_duration_s": 1, "max_wav_duration_s": 9, "asr_pad_s": "0 0", "speed_perturb_factors": ""}
    options |= {"unit_kind": "llm", "unit_min_count": 3, "nbpe": 9, "nj": 1, "llm": "llm", "judge": "", "conf": "conf"}
    options |= {"dialogue_conf": "dialogue.yaml", "init_model": "model", "inference_model": "best"}
    work = (
        "make_data() { mkdir -p data/{a,b,c,t,u}; }; threads=(env); "
        "for number in 1 2 3 4; do stage_$number; done; dump_once u dump/raw/u"
    )

    def works(*deleted):
        for name in deleted:
            shutil.rmtree(tmp_path / name)
        found = stage(tmp_path, work, **sets, **options)
        assert found.returncode == 0, found.stderr
        skipped = re.findall(r"(\S+): nothing changed, skipped", found.stdout)
        return {"data", *(f"raw_{name}" for name in "abctu"), "units", "stats", "dialogue", "codec_u"} - set(skipped)

    works()
    assert works("dump/raw/c", "dump/codec", "dump/dialogue/d") == {"raw_c", "codec_u", "dialogue"}
    assert works("dump") == {"raw_a", "raw_b", "raw_c", "raw_t", "raw_u", "stats", "dialogue", "codec_u"}
    assert works("data") >= {"data", "units"}


def test_what_python_leaves_beside_a_script_and_the_time_of_a_small_file_change_nothing(tmp_path):
    (tmp_path / "local/__pycache__").mkdir(parents=True)
    (tmp_path / "local/data.sh").write_text("true\n")
    (tmp_path / "conf.yaml").write_text("a: 1\n")
    assert "work_done=true" in once(tmp_path, "local", "conf.yaml").stdout
    (tmp_path / "local/__pycache__/data.pyc").write_bytes(b"compiled")
    os.utime(tmp_path / "conf.yaml", (1, 1))
    assert "work_done=false" in once(tmp_path, "local", "conf.yaml").stdout
    (tmp_path / "local/data.sh").write_text("false\n")
    assert "work_done=true" in once(tmp_path, "local", "conf.yaml").stdout


def test_a_large_file_counts_by_size_and_time(tmp_path):
    with open(tmp_path / "large.pth", "wb") as file:
        file.truncate(300_000_000)  # a hole: takes no room
    assert "work_done=true" in once(tmp_path, "large.pth").stdout
    assert "work_done=false" in once(tmp_path, "large.pth").stdout
    os.utime(tmp_path / "large.pth", (1, 1))
    assert "work_done=true" in once(tmp_path, "large.pth").stdout


def test_failed_work_is_named_and_continued_in_its_folder(tmp_path):
    failed = once(tmp_path, "word", command="touch exp/work/half; false")
    assert failed.returncode != 0
    assert "work failed" in failed.stderr and "run the same command again" in failed.stderr
    again = once(tmp_path, "word", command="touch exp/work/half; false")
    assert again.returncode != 0
    assert (tmp_path / "exp/work/half").exists() and not list((tmp_path / "exp").glob("work.*"))


def test_a_new_recipe_runs_the_template(recipe):
    assert (recipe / "run.sh").exists() and (recipe / "local/data.sh").exists()
    text = ok(recipe / "s2s.sh", "--help", cwd=recipe)
    for option in ("stage", "stop_stage", "skip_stages", "ngpu", "nj", "expdir", "dumpdir", "train_set"):
        assert f"--{option}" in text


def test_setup_refuses_unknown_tasks_and_existing_recipes(recipe, tmp_path):
    assert "unknown task 'st1'" in run(TEMPLATE / "setup.sh", tmp_path / "foo" / "st1").stderr
    assert "exists already" in run(TEMPLATE / "setup.sh", recipe).stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--conf", "conf/none"], "--conf conf/none: no such folder"),
        (["--llm", "/no/such/llm"], "--llm /no/such/llm: no such folder"),
        (["--stge", "1"], "stge"),
    ],
)
def test_wrong_options_are_told_before_work(recipe, options, message):
    result = run(recipe / "s2s.sh", "--conf", "conf/base", *options, cwd=recipe)
    assert result.returncode != 0
    assert message in result.stderr + result.stdout


def stage(folder, script, **options):
    """Run lines of a stage in `folder`, with the template's functions and these options."""
    values = {"datadir": "data", "dumpdir": "dump", "expdir": "exp", "decode_cmd": "run.pl"} | options
    given = "".join(f"{name}='{value}'; " for name, value in values.items())
    sources = f"for file in {TEMPLATE}/stages/*.sh; do . $file; done; work_done=false; "
    path = f"export PATH={folder}/bin:{ROOT}/utils:$PATH; mkdir -p exp/.stages; set -euo pipefail; "
    return run("bash", "-c", path + sources + given + script, cwd=folder)


def test_an_optional_set_is_used_where_it_is_and_left_out_with_a_line_where_not(tmp_path):
    make_data_dir(tmp_path / "data/real")
    sets = {"train_set": "train", "optional_train_sets": "more", "test_sets": "seen", "optional_test_sets": "real gone"}
    found = stage(tmp_path, "asr_test_sets; asr_train_dir", **sets)
    assert found.stdout.splitlines() == ["seen real", "dump/raw/train"]
    assert "data/gone: not there, so gone is left out" in found.stderr and "data/real" not in found.stderr


def test_training_sets_are_joined_once(tmp_path):
    for name in ("train", "more"):
        make_data_dir(tmp_path / "data" / name)
        folder = make_data_dir(tmp_path / "dump/raw" / name)
        for table in ("wav.scp", "text", "utt2spk"):
            lines = (folder / table).read_text().splitlines()
            (folder / table).write_text("".join(f"{name}-{line}\n" for line in lines))
    join = "join_train_sets; asr_train_dir"
    sets = {"train_set": "train", "optional_train_sets": "more"}
    first, again = (stage(tmp_path, join, **sets) for _ in range(2))
    assert first.stdout.splitlines()[-1] == "dump/raw/train_and_more", first.stderr
    assert len((tmp_path / "dump/raw/train_and_more/text").read_text().splitlines()) == 12
    assert "raw_train_and_more: nothing changed, skipped" in again.stdout


def test_what_was_learned_beside_the_llm_is_taken_along(tmp_path):
    for name, tuning in (("tuned", {"lora": {"rank": 2}}), ("plain", None)):
        (tmp_path / "exp" / name).mkdir(parents=True)
        text = yaml.safe_dump({"model": {"prompt": 5, "llm_tuning": tuning}})
        (tmp_path / "exp" / name / "config.yaml").write_text(text)
    found = stage(tmp_path, 'for name in tuned plain none; do echo "parts$(tuning_of "${name}")"; done')
    assert found.stdout.split() == ["parts,llm_tuning", "parts", "parts"], found.stderr


def test_the_answer_is_given_once_and_shown_again_unless_it_is_called_for(tmp_path):
    for folder in ("bin", "exp/pack"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "bin/python").write_text('#!/bin/sh\necho ran >>ran\necho "I say Paris."\n')
    (tmp_path / "bin/python").chmod(0o755)
    options = {"dialogue_train_set": "train", "talk_input": "q.wav", "serve": "false", "nthreads": "1", "conf": "mini"}

    def talk(first_stage):
        found = stage(tmp_path, f"threads=(env); stage={first_stage}; stage_14", **options)
        assert "I say Paris." in found.stdout, found.stderr
        return len((tmp_path / "ran").read_text().splitlines())

    assert [talk(1), talk(1), talk(14)] == [1, 1, 2]


def test_curves_are_those_of_the_trainings_as_they_are_now(tmp_path):
    aside = ("1.1_encoder.20261125-101500", "1.2_adapter_ctc.20261124-235959")
    for name in ("1.1_encoder", "2.3_prefix", "stats", *aside):
        (tmp_path / "exp" / name).mkdir(parents=True)
    assert stage(tmp_path, "training_folders").stdout.split() == ["exp/1.1_encoder/", "exp/2.3_prefix/"]


@pytest.mark.parametrize("scenes", [0, 3])
def test_duplex_scenes_are_composed_once_and_played_to_the_default_model(tmp_path, scenes):
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/python").write_text(f'#!/bin/sh\necho "$@" >>{tmp_path}/ran\n')
    (tmp_path / "bin/python").chmod(0o755)
    make_data_dir(tmp_path / "dump/raw/tts_dev")
    sets = {"dialogue_train_set": "train", "qa_test_set": "test", "scene_test_set": "duplex_test"}
    sets |= {"spoken_test_set": "spoken", "test_sets": "seen", "optional_test_sets": "", "tts_valid_set": "tts_dev"}
    options = sets | {"adapters": "ctc conv", "duplex_scenes": scenes, "llm": "llm", "conf": "conf", "seed": 7}
    options |= {"inference_model": "valid.loss.ave", "system_prompt": "Hi", "nthreads": 1}
    for _ in range(2):
        found = stage(tmp_path, "threads=(env); stage_11", **options)
        assert found.returncode == 0, found.stderr
    ran = (tmp_path / "ran").read_text().splitlines()
    composed = [line for line in ran if "duplex-scenes" in line]
    played = [line for line in ran if "--duplex dump/duplex_scenes" in line]
    assert len(composed) == len(played) == (scenes > 0)
    if scenes:
        assert "--data dump/dialogue/duplex_test" in composed[0] and "--count 3 --seed 7" in composed[0]
        assert "--model exp/system_ctc" in played[0]


@pytest.mark.parametrize(("line", "given"), [("seed: 1", False), ("rejection: {most_wer: 0.2}", True)])
def test_stage_4_depends_on_the_judge_where_it_rejects(tmp_path, line, given):
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/python").write_text('#!/bin/sh\necho "$@" >>ran\n')
    (tmp_path / "bin/python").chmod(0o755)
    (tmp_path / "dialogue.yaml").write_text(f"{line}\n")
    sets = ("dialogue_train_set", "dialogue_valid_set", "qa_test_set", "spoken_test_set", "scene_test_set")
    options = dict.fromkeys(sets, "") | {"dialogue_conf": "dialogue.yaml", "llm": "llm", "nj": "1"}
    for judge in ("one", "other"):
        found = stage(tmp_path, "threads=(env); stage_4", judge=judge, **options)
        assert found.returncode == 0, found.stderr
    commands = (tmp_path / "ran").read_text().splitlines()
    assert [command.split()[-2:] == ["--judge", "one"] for command in commands] == ([True, False] if given else [False])


def test_spoken_answers_are_joined_to_the_output_voice_once(tmp_path):
    raw = make_data_dir(tmp_path / "dump/raw/tts_train")
    dialogue = tmp_path / "dump/dialogue/train"
    dialogue.mkdir(parents=True)
    sounds = {"q1": "s0-u0", "q3": "s0-u0", "q4": "s1-u1"}
    (dialogue / "answer_wav.scp").write_text("".join(f"{q} {raw}/wav/{sound}.wav\n" for q, sound in sounds.items()))
    (dialogue / "answer").write_text("q1 It is Paris.\nq2 It is not spoken.\nq3 It is Paris.\nq4 Oslo.\n")
    (dialogue / "text").write_text("q1 What is it?\nq2 What?\nq3 Which is it?\nq4 And here?\n")
    options = {"tts_train_set": "tts_train", "dialogue_train_set": "train", "dialogue_valid_set": ""}
    first, again = (stage(tmp_path, "join_speaking_sets; speaking_train_dir", **options) for _ in range(2))
    assert first.stdout.splitlines()[-1] == "dump/raw/tts_train_and_answers", first.stderr
    texts = (tmp_path / "dump/raw/tts_train_and_answers/text").read_text()
    assert len(texts.splitlines()) == 8 and "q1 It is Paris.\n" in texts and "q4 Oslo.\n" in texts
    assert "q3" not in texts  # the sound of q1 once more
    assert "q3" in (dialogue / "answers/answer").read_text()  # but 2.3 hears another question before it
    assert again.stdout.count("nothing changed, skipped") == 2
