#!/usr/bin/env bash
# Stage 1: VCTK, many English accents as Kaldi directories. Options: those of utils/prepare_corpus.sh.
set -euo pipefail
. ./path.sh
exec prepare_corpus.sh --name vctk --variable VCTK --sets tr_no_dev,dev,eval1 "$@"
