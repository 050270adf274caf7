#!/usr/bin/env bash
# Pairs of English words by frequency: those of wordsegment (Apache 2.0; Google's n-grams by Peter Norvig, MIT), read
# without installing the package. Prints the folder: pairs.tsv with lines `word<tab>word<tab>probability of the second
# after the first`. Apostrophes are left out, as there. FREEZE_OMNI_WORD_PAIRS_DIR names your own folder.
set -euo pipefail
# shellcheck source=tools/installers/fetch.sh
source "$(dirname "$0")/fetch.sh"
part_begin word_pairs 1 FREEZE_OMNI_WORD_PAIRS_DIR pairs.tsv

from_pypi wordsegment 1.3.1 wordsegment-1.3.1-py2.py3-none-any.whl \
  dd10e32fdb890079532ddffc1d179f839627af8345ecf52b84627a536449648d
unpack_wheel "$fetched" "$new/tmp"
"$python" - "$new/tmp/wordsegment" >"$new/pairs.tsv" <<'END_OF_SCRIPT'
import sys

folder = sys.argv[1]
with open(f"{folder}/unigrams.txt", encoding="utf-8") as stream:
    counts = {word: float(count) for word, count in (line.split("\t") for line in stream)}
with open(f"{folder}/bigrams.txt", encoding="utf-8") as stream:
    for line in stream:
        pair, count = line.split("\t")
        first, second = pair.split(" ")
        if first in counts and first.isalpha() and second.isalpha():
            print(first, second, f"{float(count) / counts[first]:.3e}", sep="\t")
END_OF_SCRIPT
keep_licences "$new/tmp" wordsegment
note "the pairs of words: Apache 2.0"
rm -rf "$new/tmp"
part_end
