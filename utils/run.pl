#!/usr/bin/env perl
# Runs a command on this machine with a log file, or an array of such jobs at once (Kaldi's run.pl):
#   run.pl log/train.log python train.py ...
#   run.pl JOB=1:4 log/x.JOB.log python work.py --part JOB
# JOB is replaced by the number in the log's name and in the command. The options that ask a queue
# for resources (--mem 4G, --num-threads 2, --gpu 1, --time T, ...) are accepted and mean nothing here;
# --max-jobs-run N limits how many jobs run at a time. Jobs end with run.pl, even if it is killed.
use strict;
use warnings;
use File::Basename;
use File::Path qw(make_path);
use POSIX qw(strftime WNOHANG);

my ($name, $first, $last, $most) = (undef, 1, 1, 0);

while (@ARGV && ($ARGV[0] =~ /^-/ || $ARGV[0] =~ /^\w+=\d+(:\d+)?$/)) {
  my $word = shift @ARGV;
  if ($word =~ /^(\w+)=(\d+)(?::(\d+))?$/) {
    ($name, $first, $last) = ($1, $2, defined $3 ? $3 : $2);
    die "run.pl: $word: the last job comes before the first\n" if $last < $first;
  } else {
    die "run.pl: option $word needs a value\n" unless @ARGV;
    my $value = shift @ARGV;
    if ($word eq '--max-jobs-run') {
      die "run.pl: --max-jobs-run needs a number of at least 1, not $value\n" unless $value =~ /^[1-9]\d*$/;
      $most = $value;
    }
  }
}
die "Usage: run.pl [JOB=1:n] [options] <log file> <command> [arguments]\n" if @ARGV < 2;
my $log = shift @ARGV;
die "run.pl: the log $log must have $name in its name, as each job needs its own\n"
  if defined $name && $last > $first && $log !~ /$name/;

# As in Kaldi, the words are joined by blanks and given to bash, so that pipes can be written. A word
# that bash would take apart is quoted, unless it is an operator (| && ;) or a redirection (2>file).
sub quoted {
  my $word = shift;
  return $word if $word =~ m{^([\w./=:,@%+^-]+|\|\|?|&&|;|<|\(|\)|\d*>>?(&\d|[\w./-]*))$};
  $word =~ s/'/'\\''/g;
  return "'$word'";
}
my $template = join ' ', map { quoted($_) } @ARGV;

sub fill {
  my ($text, $job) = @_;
  $text =~ s/$name/$job/g if defined $name;
  return $text;
}

sub end_groups { # each has half a minute: a training saves a checkpoint
  my @groups = map { -$_ } @_;
  my $find = "pgrep -r D,R,S -g " . join ',', @_; # not those that wait to be reaped
  kill 'TERM', @groups;
  for (1 .. 300) {
    1 while waitpid(-1, WNOHANG) > 0;
    return unless @groups && `$find`;
    select undef, undef, undef, 0.1;
  }
  kill 'KILL', @groups;
}

# A watcher waits for the end of a pipe that only run.pl holds open: then run.pl has gone, and so goes the job's group.
pipe(my $life, my $held) or die "run.pl: cannot make a pipe: $!\n";
sub watch {
  my $group = shift;
  setpgrp(0, 0);
  open($_, '+<', '/dev/null') for *STDIN, *STDOUT, *STDERR;
  sysread($life, my $nothing, 1);
  end_groups($group);
  POSIX::_exit(0);
}

sub run_job {
  my $job = shift;
  setpgrp(0, 0);
  close $held;
  my $group = $$;
  my $watcher = fork;
  die "run.pl: cannot start a process: $!\n" unless defined $watcher;
  watch($group) if $watcher == 0;
  my ($file, $command) = (fill($log, $job), fill($template, $job));
  make_path(dirname($file));
  open(my $out, '>', $file) or die "run.pl: cannot write $file: $!\n";
  my $start = time;
  print $out "# $command\n# Running on ", (POSIX::uname())[1], "\n# Started at ",
    strftime('%a %b %e %H:%M:%S %Z %Y', localtime), "\n";
  close $out;
  open(STDIN, '<', '/dev/null') or die "run.pl: cannot read /dev/null: $!\n";
  open(STDOUT, '>>', $file) or die "run.pl: cannot write $file: $!\n";
  open(STDERR, '>&', \*STDOUT) or die "run.pl: cannot write $file: $!\n";
  my $status = system('bash', '-c', "set -o pipefail; $command");
  my $code = $status == -1 ? 127 : $status & 127 ? 128 + ($status & 127) : $status >> 8;
  open($out, '>>', $file) or die "run.pl: cannot write $file: $!\n";
  print $out "# Accounting: time=", time - $start, " threads=1\n# Ended (code $code) at ",
    strftime('%a %b %e %H:%M:%S %Z %Y', localtime), ", elapsed time ", time - $start, " seconds\n";
  close $out;
  kill 'KILL', $watcher;
  exit($code ? 1 : 0);
}

my (%running, @failed);
sub wait_for_one {
  my $pid = wait;
  push @failed, $running{$pid} if $? != 0;
  delete $running{$pid};
}
for (grep { ($SIG{$_} // '') ne 'IGNORE' } qw(INT TERM HUP)) { # nohup ignores HUP
  $SIG{$_} = sub { end_groups(keys %running); exit 1 };
}
# Slurm sends it before a limit of time (sbatch --signal=B:USR1@300). It is for the work itself, which may save and end.
$SIG{USR1} = sub { kill 'USR1', map { -$_ } keys %running };
for my $job ($first .. $last) {
  wait_for_one() while $most && keys %running >= $most;
  my $pid = fork;
  die "run.pl: cannot start a process: $!\n" unless defined $pid;
  if ($pid == 0) {
    $SIG{$_} = 'DEFAULT' for grep { ref $SIG{$_} } qw(INT TERM HUP);
    $SIG{USR1} = 'IGNORE';
    run_job($job);
  }
  setpgrp($pid, $pid); # the job does this too: whoever comes first
  $running{$pid} = $job;
}
wait_for_one() while %running;

if (@failed) {
  my $of = $last - $first + 1;
  my @logs = map { fill($log, $_) } sort { $a <=> $b } @failed;
  print STDERR 'run.pl: ', $of == 1 ? 'job failed' : scalar(@failed) . " of $of jobs failed",
    ", log is in @logs[0 .. ($#logs > 4 ? 4 : $#logs)]\n";
  exit 1;
}
