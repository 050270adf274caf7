#!/usr/bin/env perl
# spk2utt_to_utt2spk.pl [spk2utt] > utt2spk: in the order of spk2utt (sort it if speakers do not prefix).
use strict;
use warnings;

while (<>) {
  my ($speaker, @utterances) = split;
  @utterances or die "spk2utt_to_utt2spk.pl: $ARGV:$.: wanted '<speaker> <utterance> ...', found: $_";
  print "$_ $speaker\n" for @utterances;
}
