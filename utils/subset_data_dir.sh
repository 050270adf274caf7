#!/usr/bin/env bash
# Makes a smaller data directory:
#   utils/subset_data_dir.sh [--first|--last|--shortest|--speakers|--per-spk] <from> <number> <to>
#   utils/subset_data_dir.sh --utt-list <file> <from> <to>
#   utils/subset_data_dir.sh --spk-list <file> <from> <to>
# Without an option the utterances are spread evenly over the set. --shortest needs utt2num_samples,
# utt2dur or feats; --speakers takes whole speakers up to the number; --per-spk that number of each speaker.
set -euo pipefail

here=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")" && pwd)
die() { echo "subset_data_dir.sh: $*" >&2; exit 1; }
how=spread list=
while [[ ${1:-} == --* ]]; do
  case $1 in
    --first|--last|--shortest|--speakers|--per-spk) how=${1#--}; shift ;;
    --utt-list|--spk-list)
      [ $# -ge 2 ] || die "$1 needs a file"
      how=${1#--} list=$2
      [ -r "$list" ] || die "$1 $list: no such file"
      shift 2 ;;
    --help) sed -n '2,/^set -/{/^set -/d;s/^# \{0,1\}//p}' "$0"; exit 0 ;;
    *) die "unknown option $1; see --help" ;;
  esac
done
if [ -n "$list" ]; then
  [ $# -eq 2 ] || die "wanted: --$how <file> <from> <to>"
  from=$1 to=$2 number=0
else
  [ $# -eq 3 ] || die "wanted: <from> <number> <to>"
  from=$1 number=$2 to=$3
  [[ $number =~ ^[1-9][0-9]*$ ]] || die "the number of utterances must be at least 1, not '$number'"
fi
[ -s "$from/utt2spk" ] || die "$from/utt2spk is missing or empty"
[ "$(readlink -f "$from")" != "$(readlink -f "$to")" ] || die "$from cannot be its own subset"
total=$(wc -l <"$from/utt2spk")
case $how in
  first|last|shortest|spread)
    [ "$number" -le "$total" ] || die "$from has only $total utterances, not $number" ;;
esac

chosen=$(mktemp)
trap 'rm -f "$chosen"' EXIT
case $how in
  first) head -n "$number" "$from/utt2spk" ;;
  last) tail -n "$number" "$from/utt2spk" ;;
  spread) awk -v n="$number" -v total="$total" 'int(NR * n / total) > int((NR - 1) * n / total)' "$from/utt2spk" ;;
  speakers) # whole speakers, spread evenly, until the number is reached
    "$here/utt2spk_to_spk2utt.pl" "$from/utt2spk" | awk -v n="$number" '
      {line[NR] = $0; size[NR] = NF - 1}
      END {
        for (step = 1; step < NR; step *= 2) ;
        for (; step >= 1; step /= 2)
          for (i = 1; i <= NR; i += step)
            if (!(i in seen)) {
              seen[i] = 1
              if (sum + size[i] <= n) {sum += size[i]; print line[i]}
            }
      }' | "$here/spk2utt_to_utt2spk.pl" ;;
  per-spk) awk -v n="$number" '++count[$2] <= n' "$from/utt2spk" ;;
  shortest)
    lengths=
    for name in utt2num_samples utt2dur utt2num_frames; do
      if [ -s "$from/$name" ]; then lengths=$from/$name; break; fi
    done
    [ -n "$lengths" ] || die "--shortest needs $from/utt2num_samples, utt2dur or utt2num_frames"
    LC_ALL=C sort -k2,2n "$lengths" | awk -v n="$number" 'NR <= n' ;;
  utt-list) "$here/filter_scp.pl" "$list" "$from/utt2spk" ;;
  spk-list) "$here/filter_scp.pl" -f 2 "$list" "$from/utt2spk" ;;
esac >"$chosen"
[ -s "$chosen" ] || die "no utterance of $from was chosen: check ${list:-the number $number}"

mkdir -p "$to"
for file in "$from"/*; do
  name=$(basename "$file")
  case $name in
    wav.scp) if [ -f "$from/segments" ]; then continue; fi ;;
    segments|text|feats.scp|utt2*|answer|answer_wav.scp|states) ;;
    *) continue ;;
  esac
  "$here/filter_scp.pl" "$chosen" "$file" >"$to/$name"
done
if [ -f "$from/segments" ]; then
  awk '{print $2}' "$to/segments" | LC_ALL=C sort -u >"$chosen"
  "$here/filter_scp.pl" "$chosen" "$from/wav.scp" >"$to/wav.scp"
fi
"$here/utt2spk_to_spk2utt.pl" "$to/utt2spk" | LC_ALL=C sort >"$to/spk2utt"
for name in spk2gender cmvn.scp; do
  if [ -f "$from/$name" ]; then "$here/filter_scp.pl" "$to/spk2utt" "$from/$name" >"$to/$name"; fi
done
echo "subset_data_dir.sh: $to has $(wc -l <"$to/utt2spk") of $total utterances"
