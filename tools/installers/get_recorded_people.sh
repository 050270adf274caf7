#!/usr/bin/env bash
# Recordings of people, to test with: CMU's AN4 (what the installed ESPnet has of it) and the test recordings of
# PocketSphinx, from its Debian package (apt-get or the file itself; no root). Prints the folder of the Kaldi directories
# an4_people and sphinx_people. FREEZE_OMNI_PEOPLE_DIR names your own folder.
set -euo pipefail
# shellcheck source=tools/installers/fetch.sh
source "$(dirname "$0")/fetch.sh"
part_begin recorded_people 1 FREEZE_OMNI_PEOPLE_DIR sphinx_people/text

from_debian pocketsphinx-testdata 0.8+5prealpha+1-15 pocketsphinx-testdata_0.8+5prealpha+1-15_all.deb \
  eaeb7a01d54f20b799d1a81ef110ec544b2cb47ea006614078220737a33019f0 || vanished pocketsphinx-testdata
command -v dpkg-deb >/dev/null || die "there is no dpkg-deb to unpack $fetched with; set FREEZE_OMNI_PEOPLE_DIR=DIR"
dpkg-deb -x "$fetched" "$new/tmp"
mkdir -p "$new/licences" "$new/wav"
mv "$new/tmp"/usr/share/pocketsphinx/test/data/{librivox,cards} "$new/wav/"
cp "$new/tmp/usr/share/doc/pocketsphinx-testdata/copyright" "$new/licences/pocketsphinx-testdata"
note "pocketsphinx-testdata: BSD"
rm -rf "$new/tmp"
an4=$("$tools_dir/installers/get_an4_mini.sh" | tail -n 1)/an4

# people SET SPEAKER < lines "ID SOUND WORDS...": one Kaldi directory, in lower case
people() {
  local id sound words set=$1 tables=$new/$1
  mkdir -p "$tables"
  LC_ALL=C sort | while read -r id sound words; do
    echo "$id $sound" >>"$tables/wav.scp"
    echo "$id $words" | tr '[:upper:]' '[:lower:]' >>"$tables/text"
    echo "$id ${id%%-*}" >>"$tables/utt2spk"
  done
  [ -s "$tables/text" ] || die "$set: no recordings with their words"
}
# lines `<s> WORDS </s> (NAME)`
words_of() { sed -E 's/<s>//; s/ *(<\/s>)? *\(([^ )]+)\) *$/|\2/; s/^ +//' "$@"; }
for name in librivox/transcription cards/cards.transcription; do
  speaker=${name%%/*}
  words_of "$new/wav/$name" | while IFS='|' read -r words id; do
    echo "$speaker-${id##*_} $part/wav/$speaker/$id.wav $words"
  done
done | people sphinx_people
words_of "$an4"/etc/an4_{train,test}.transcription | while IFS='|' read -r words id; do
  sound=$(find "$an4/wav" -name "$id.sph")
  IFS=- read -r first speaker last <<<"$id"
  if [ -n "$sound" ]; then echo "$speaker-$first-$last $sound $words"; fi
done | people an4_people
part_end
