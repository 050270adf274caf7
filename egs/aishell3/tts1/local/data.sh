#!/usr/bin/env bash
# Stage 1: AISHELL-3, many Mandarin voices as Kaldi directories. Options: those of utils/prepare_corpus.sh.
set -euo pipefail
. ./path.sh
exec prepare_corpus.sh --name aishell3 --variable AISHELL3 --sets train_no_dev,dev,test "$@"
