#!/usr/bin/env bash
# Recorded human speech: 553 English prompts (CC-BY-SA 3.0) at 16 kHz with their texts, from Debian's
# packages (apt-get or the file itself; no root). Prints the folder: wav/**/*.wav and texts.txt with lines
# "NAME: text" (wav/NAME.wav; a text in brackets is a sound that is not speech).
# FREEZE_OMNI_ASTERISK_DIR names your own folder.
set -euo pipefail
# shellcheck source=tools/installers/fetch.sh
source "$(dirname "$0")/fetch.sh"
part_begin asterisk_sounds 1 FREEZE_OMNI_ASTERISK_DIR texts.txt

unpack_deb() {  # unpack_deb DEB FOLDER
  command -v dpkg-deb >/dev/null || die "there is no dpkg-deb to unpack $1 with.
  Set FREEZE_OMNI_ASTERISK_DIR=DIR, or do without these recordings."
  dpkg-deb -x "$1" "$2"
}
from_debian asterisk-core-sounds-en-g722 1.6.1-1 asterisk-core-sounds-en-g722_1.6.1-1_all.deb \
  38c5261820b406dcb0ecb37675720da2b0864850690690352ca52707eb623806 || vanished asterisk-core-sounds-en-g722
unpack_deb "$fetched" "$new/tmp"
from_debian asterisk-core-sounds-en 1.6.1-1 asterisk-core-sounds-en_1.6.1-1_all.deb \
  973e797d28e37fa6ca3c0a9d6fa717e77cf1268ae916bf09fd3503113cdffa50 || vanished asterisk-core-sounds-en
unpack_deb "$fetched" "$new/tmp"
"$python" -c 'import av, soundfile' 2>/dev/null || die "decoding needs av and soundfile: run tools/install.sh first"
"$python" "$tools_dir/installers/decode_g722.py" "$new/tmp/usr/share/asterisk/sounds/en_US_f_Allison" "$new/wav"
documents=$new/tmp/usr/share/doc/asterisk-core-sounds-en
gzip -dc "$documents/core-sounds-en.txt.gz" | grep -E '^[^;[:space:]][^:]*: ' >"$new/texts.txt"
mkdir -p "$new/licences"
cp "$documents/copyright" "$new/licences/asterisk-core-sounds-en"
note "asterisk-core-sounds-en: CC-BY-SA-3.0, recorded by Allison Smith"
rm -rf "$new/tmp"
part_end
