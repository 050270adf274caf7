#!/usr/bin/env bash
# Stage 1 of a recipe for a published corpus: its Kaldi directories. Called by local/data.sh, in the recipe's folder:
#   exec prepare_corpus.sh --name aishell --variable AISHELL --sets train,dev,test "$@"
set -euo pipefail
data=data  # Where the directories go.
nj=2  # Parallel processes.
corpus=  # Folder of the corpus; the variable of db.sh, or of the environment, by default.
sets=all  # Sets to prepare, with commas between; "all": all that the corpus has here.
prepare_opts=  # Further options of freeze_omni.bin.prepare_corpus, as "--most_skipped=0.2"; commas between.
# Set by the recipe
name=  # The corpus, as freeze_omni.bin.prepare_corpus calls it.
variable=  # The variable of db.sh with its folder.
fixed_opts=  # Options of freeze_omni.bin.prepare_corpus that the recipe needs; commas between.
. parse_options.sh
. ./db.sh
corpus=${corpus:-${!variable}}
if [ -z "${corpus}" ]; then
    echo "local/data.sh: ${variable} is empty: set it in db.sh to the folder of the corpus" >&2
    exit 1
fi
if [ "${sets}" = all ]; then sets=; fi
IFS=, read -ra fixed <<<"${fixed_opts}"
IFS=, read -ra more <<<"${prepare_opts}"  # a blank may be part of a word
# shellcheck disable=SC2086
python -m freeze_omni.bin.prepare_corpus "${name}" --root "${corpus}" --data "${data}" --nj "${nj}" \
    --sets ${sets//,/ } "${fixed[@]}" "${more[@]}"
