#!/usr/bin/env bash
# Stage 1: combines sets of other recipes, which have run stages 1 and 2 (dump/raw/<set>). A source is <recipe>:<set>; commas between.
set -euo pipefail
. ./path.sh
egs=../..  # Folder of the recipes.
data=data  # Where the directories go.
nj=2  # For compatibility with other recipes; this needs one process.
# Training sets
asr_train=librispeech/asr1:train_960,gigaspeech/asr1:train_xl,aishell/asr1:train,wenetspeech/asr1:train_l  # Speech input.
asr_dev=librispeech/asr1:dev_clean,aishell/asr1:dev  # Speech input, development.
tts_train=libritts/tts1:train_clean_100,aishell3/tts1:train_no_dev  # Speech output.
tts_dev=libritts/tts1:dev_clean,aishell3/tts1:dev  # Speech output, development.
tts_test=libritts/tts1:test_clean,aishell3/tts1:test  # Speech output, test.
dialogue=moss_003_sft/s2s1  # Recipe whose qa_* and spoken questions (asr_*) are the dialogues.
# Test sets
tests=aishell/asr1:test:aishell_test,wenetspeech/asr1:test_net,wenetspeech/asr1:test_meeting,librispeech/asr1:dev_clean,librispeech/asr1:dev_other,librispeech/asr1:test_clean,librispeech/asr1:test_other  # A second colon gives the set another name.
. parse_options.sh

: "${nj}"
source_dir() { # source_dir <recipe>:<set>: its directory, which must exist
    local dir="${egs}/${1%%:*}/dump/raw/${1#*:}"
    if [ ! -s "${dir}/text" ]; then
        echo "local/data.sh: ${dir} is missing: run egs/${1%%:*}/run.sh --stop_stage 2 first, or leave it out" >&2
        return 1
    fi
    echo "${dir}"
}
join() { # join <target> <sources>
    local target=$1 source dirs=() dir
    for source in ${2//,/ }; do
        dir=$(source_dir "${source}")
        dirs+=("${dir}")
    done
    combine_data.sh --skip-fix true "${data}/${target}" "${dirs[@]}"
}
for source in ${tests//,/ }; do # checked before the long copying of training sets
    dir=$(source_dir "$(cut -d: -f1,2 <<<"${source}")")
    copy_data_dir.sh "${dir}" "${data}/${source##*:}"
done
for set in asr_dev tts_dev tts_test asr_train tts_train; do join "${set}" "${!set}"; done
for set in train dev test; do
    copy_data_dir.sh "${egs}/${dialogue}/data/asr_${set}" "${data}/question_${set}"
    mkdir -p "${data}/qa_${set}"
    cp "${egs}/${dialogue}/data/qa_${set}"/*.jsonl "${data}/qa_${set}"
done
