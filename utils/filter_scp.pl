#!/usr/bin/env perl
# filter_scp.pl [--exclude] [-f <n>] <id list> [<table>] > filtered: the lines of a table whose n-th
# word (the first by default) is among the first words of the list; --exclude keeps the others.
use strict;
use warnings;

my ($exclude, $field) = (0, 1);
while (@ARGV && $ARGV[0] =~ /^-/) {
  my $word = shift @ARGV;
  if ($word eq '--exclude') { $exclude = 1; }
  elsif ($word eq '-f' && @ARGV && $ARGV[0] =~ /^[1-9]\d*$/) { $field = shift @ARGV; }
  else { die "filter_scp.pl: unknown option or wrong value: $word\n"; }
}
@ARGV == 1 || @ARGV == 2 or die "Usage: filter_scp.pl [--exclude] [-f <n>] <id list> [<table>]\n";

my ($list, %wanted) = (shift @ARGV);
open(my $in, '<', $list) or die "filter_scp.pl: cannot read $list: $!\n";
while (<$in>) { my ($id) = split; $wanted{$id} = 1 if defined $id; }
close $in;

while (<>) {
  my @word = split;
  @word >= $field or die "filter_scp.pl: line $. has no word $field: $_";
  print if exists $wanted{$word[$field - 1]} xor $exclude;
}
