#!/usr/bin/env bash
# An English lexicon for CTC units of kind word: the words of wordfreq (get_wordfreq.sh), and pairs of words by frequency,
# those of wordsegment (Apache 2.0, from Google's n-grams), read without installing the package. Prints the folder:
# words.tsv, and pairs.tsv with lines `word<tab>word<tab>probability of the second after the first`.
# FREEZE_OMNI_LEXICON_EN_DIR names your own folder, FREEZE_OMNI_WORDFREQ_DIR one with other words.
set -euo pipefail
# shellcheck source=tools/installers/fetch.sh
source "$(dirname "$0")/fetch.sh"
part_begin lexicon_en 1 FREEZE_OMNI_LEXICON_EN_DIR words.tsv pairs.tsv

words=$("$(dirname "$0")/get_wordfreq.sh" | tail -n 1) ||
  die "the words could not be fetched, as said above. Set FREEZE_OMNI_LEXICON_EN_DIR=DIR, a folder with words.tsv and pairs.tsv."
cp "$words/words.tsv" "$new"

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
