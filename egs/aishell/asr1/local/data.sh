#!/usr/bin/env bash
# Stage 1: AISHELL-1 as Kaldi directories; the spaces between words are removed. Options: those of utils/prepare_corpus.sh.
set -euo pipefail
. ./path.sh
exec prepare_corpus.sh --name aishell --variable AISHELL --sets train,dev,test "$@"
