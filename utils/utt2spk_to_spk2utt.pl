#!/usr/bin/env perl
# utt2spk_to_spk2utt.pl [utt2spk] > spk2utt: speakers in the order in which they appear.
use strict;
use warnings;

my (@order, %utterances);
while (<>) {
  my @word = split;
  @word == 2 or die "utt2spk_to_spk2utt.pl: $ARGV:$.: wanted '<utterance> <speaker>', found: $_";
  push @order, $word[1] unless exists $utterances{$word[1]};
  push @{$utterances{$word[1]}}, $word[0];
}
print "$_ @{$utterances{$_}}\n" for @order;
