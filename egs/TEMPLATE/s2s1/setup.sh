#!/usr/bin/env bash
# Creates a recipe: egs/TEMPLATE/s2s1/setup.sh egs/<corpus>/<task>1   (task: asr, tts or s2s)
# One file is left to write, local/data.sh.
set -euo pipefail
usage="Usage: $0 <recipe folder, as egs/mycorpus/asr1>   (the task, asr1 tts1 or s2s1, is the folder's name)"
if [ $# -ne 1 ] || [[ "$1" == -* ]]; then
    echo "${usage}" >&2
    [[ "${1:-}" == --help || "${1:-}" == -h ]] && exit 0
    exit 2
fi
template=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
target=$1
task=$(basename "${target}")
corpus=$(basename "$(dirname "$(realpath -m "${target}")")")
case "${task}" in
    asr1) role=asr sets=$'    --train_set train --valid_set dev --test_sets "test" \\
    --unit_kind bpe --nbpe 500 --asr_pad_s "0 0" \\' ;;
    tts1) role=tts sets=$'    --tts_train_set train --tts_valid_set dev --tts_test_set test \\' ;;
    s2s1) role=qa sets=$'    --train_set asr_train --valid_set asr_dev --test_sets "asr_test" \\
    --tts_train_set tts_train --tts_valid_set tts_dev --tts_test_set tts_test \\
    --dialogue_conf conf/dialogue.yaml --dialogue_train_set train --dialogue_valid_set dev \\
    --qa_test_set test --spoken_test_set spoken_test --scene_test_set duplex_test \\' ;;
    *) echo "setup.sh: unknown task '${task}': name the folder asr1, tts1 or s2s1. ${usage}" >&2; exit 2 ;;
esac
if [ -e "${target}/run.sh" ]; then
    echo "setup.sh: ${target}/run.sh exists already: choose another folder or remove it" >&2
    exit 1
fi
mkdir -p "${target}/local" "${target}/conf"
link() { ln -sfn "$(realpath --relative-to="$(dirname "${target}/$1")" "${template}/$1")" "${target}/$1"; }
for file in s2s.sh path.sh db.sh conf/tiny conf/mini conf/base conf/gpu conf/paper conf/zh; do link "${file}"; done
cp "${template}/cmd.sh" "${target}/cmd.sh"
if [ "${task}" = s2s1 ]; then cp "${template}/conf/dialogue.yaml" "${target}/conf/dialogue.yaml"; fi
cat >"${target}/run.sh" <<END
#!/usr/bin/env bash
# ${corpus}/${task}: set names and configuration of the template's stages (./s2s.sh --help).
set -euo pipefail
cd "\$(dirname "\${BASH_SOURCE[0]}")"
exec ./s2s.sh \\
    --conf conf/base \\
${sets}
    "\$@"
END
cat >"${target}/local/data.sh" <<END
#!/usr/bin/env bash
# Stage 1 of ${corpus}/${task}: write a Kaldi directory data/<set>/ for each set of run.sh:
# wav.scp: "<utt-id> <path of an audio file>"; text: "<utt-id> <words>"; utt2spk: "<utt-id> <speaker>".
# utils/fix_data_dir.sh sorts them and makes spk2utt. docs/add_a_corpus.md is a tutorial.
set -euo pipefail
. ./path.sh
. ./db.sh
data=data  # Where the directories go.
nj=2       # Parallel processes.
. parse_options.sh

echo "local/data.sh: write the sets of ${corpus} to \${data}/<set>/ here; then check each with:" >&2
echo "    utils/validate_data_dir.sh --role ${role} \${data}/<set>" >&2
exit 1
END
chmod +x "${target}/run.sh" "${target}/local/data.sh"
echo "Created ${target}. Now write ${target}/local/data.sh, then run ${target}/run.sh --stop_stage 3"
