#!/usr/bin/env perl
# split_scp.pl [-j <parts> <part>] [--utt2spk=<utt2spk>] <table> <out.1> <out.2> ...
# Splits a table into parts that follow each other and differ by at most a line. With --utt2spk no
# speaker is divided. With -j the part (counted from 0) of so many goes to one output (default: stdout).
use strict;
use warnings;

my ($parts, $part, $utt2spk);
while (@ARGV && $ARGV[0] =~ /^-./) {
  my $word = shift @ARGV;
  if ($word eq '-j' && @ARGV >= 2) { ($parts, $part) = splice @ARGV, 0, 2; }
  elsif ($word =~ /^--utt2spk=(.+)$/) { $utt2spk = $1; }
  else { die "split_scp.pl: unknown option $word\n"; }
}
my $table = shift @ARGV;
die "Usage: split_scp.pl [-j <parts> <part>] [--utt2spk=<file>] <table> <out.1> ...\n"
  unless defined $table && (@ARGV || defined $parts);
if (defined $parts) {
  die "split_scp.pl: part $part is not in 0..", $parts - 1, "\n" unless $part >= 0 && $part < $parts;
  die "split_scp.pl: -j takes one output\n" if @ARGV > 1;
}
$parts //= @ARGV;

sub lines_of {
  my $file = shift;
  open(my $in, '<', $file) or die "split_scp.pl: cannot read $file: $!\n";
  return <$in>;
}
my (%speaker, @groups);
if (defined $utt2spk) {
  for (lines_of($utt2spk)) { my ($id, $who) = split; $speaker{$id} = $who; }
}
my $before = '';
for my $line (lines_of($table)) {
  my ($id) = split ' ', $line;
  my $who = defined $utt2spk ? $speaker{$id} // die "split_scp.pl: $id is not in $utt2spk\n" : undef;
  if (defined $who && @groups && $who eq $before) { push @{$groups[-1]}, $line; }
  else { push @groups, [$line]; }
  $before = $who // '';
}
die "split_scp.pl: $table has ", scalar(@groups), defined $utt2spk ? ' speakers' : ' lines',
  ": too few for $parts parts\n" if @groups < $parts;

my $total = 0;
$total += @$_ for @groups;
my ($at, $done, @pieces) = (0, 0);
for my $i (0 .. $parts - 1) {
  my @piece;
  my $goal = int($total * ($i + 1) / $parts + 0.5);
  # Every part still to come needs a group; every part takes at least one.
  while ($at < @groups - ($parts - 1 - $i) && (!@piece || $i == $parts - 1 || $done + @{$groups[$at]} <= $goal)) {
    $done += @{$groups[$at]};
    push @piece, @{$groups[$at++]};
  }
  push @pieces, \@piece;
}

sub write_piece {
  my ($file, $lines) = @_;
  my $out = \*STDOUT;
  if ($file ne '-') { open($out, '>', $file) or die "split_scp.pl: cannot write $file: $!\n"; }
  print $out @$lines;
  if ($file ne '-') { close $out or die "split_scp.pl: cannot write $file: $!\n"; }
}
if (defined $part) { write_piece($ARGV[0] // '-', $pieces[$part]); }
else { write_piece($ARGV[$_], $pieces[$_]) for 0 .. $parts - 1; }
