#!/usr/bin/env perl
# The same interface as run.pl, on a cluster with slurm: each job is an sbatch that is waited for.
#   slurm.pl [JOB=1:n] [--mem 4G] [--num-threads 2] [--gpu 1] [--time 4:00:00] [--max-jobs-run 10]
#            [--partition NAME] [--option value] <log file> <command> [arguments]
# Options are handed to sbatch; those above get slurm's own names. The work of one job is done by
# run.pl, on the node, so the logs are the same. Jobs end with slurm.pl, even if it is killed.
use strict;
use warnings;
use Cwd qw(getcwd abs_path);
use File::Basename;
use IPC::Open2;
use POSIX ();

my %slurm_name = ('--num-threads' => '--cpus-per-task');
my ($array, $most, @asked) = (undef, 0);
while (@ARGV && ($ARGV[0] =~ /^-/ || $ARGV[0] =~ /^\w+=\d+(:\d+)?$/)) {
  my $word = shift @ARGV;
  if ($word =~ /^\w+=\d+(:\d+)?$/) { $array = $word; next; }
  die "slurm.pl: option $word needs a value\n" unless @ARGV;
  my $value = shift @ARGV;
  if ($word eq '--max-jobs-run') { $most = $value; }
  elsif ($word eq '--gpu') { push @asked, "--gres=gpu:$value" if $value > 0; }
  else { push @asked, ($slurm_name{$word} // $word) . "=$value"; }
}
die "Usage: slurm.pl [JOB=1:n] [options] <log file> <command> [arguments]\n" if @ARGV < 2;

my ($log, @command) = @ARGV;
my $run = abs_path(dirname(abs_path($0))) . '/run.pl';
my ($name, $first, $last) = defined $array && $array =~ /^(\w+)=(\d+)(?::(\d+))?$/ ? ($1, $2, $3 // $2) : ();
die "slurm.pl: the log $log must have $name in its name, as each job needs its own\n"
  if defined $name && $last > $first && $log !~ /$name/;

sub shell_quoted { my $word = shift; $word =~ s/'/'\\''/g; return "'$word'"; }
my $work = join ' ', map { shell_quoted($_) } $log, @command;
my $task = defined $name ? "$name=\$SLURM_ARRAY_TASK_ID " : '';
my @batch = ('sbatch', '--wait', '--parsable', '--output=/dev/null', '--export=ALL', '--chdir=' . getcwd(),
  '--job-name=' . basename($log), @asked);
push @batch, "--array=$first-$last" . ($most ? "%$most" : '') if defined $name;

# sbatch says the number of the job, and waits for its end.
my ($said, $script);
$SIG{PIPE} = 'IGNORE';
my $sbatch = eval { open2($said, $script, @batch) }
  or die "slurm.pl: cannot start sbatch ($@); is slurm on this machine? run.pl needs none\n";
# An srun in the job does not take over --cpus-per-task by itself.
print $script "#!/bin/bash\nexport SRUN_CPUS_PER_TASK=\${SLURM_CPUS_PER_TASK:-1}\nexec perl ", shell_quoted($run), " $task$work\n";
close $script;

# A job that is still there when slurm.pl goes is cancelled. A watcher waits for the end of a pipe that only slurm.pl
# holds open, as nothing else sees kill -9.
my $text = '';
sub cancel {
  kill 'TERM', $sbatch;
  1 while $text !~ /\n/ && sysread($said, $text, 4096, length $text);
  system('scancel', defined $2 ? ('-M', $2) : (), $1) if $text =~ /^(\d+)(?:;(\S+))?$/m;
}
pipe(my $life, my $held) or die "slurm.pl: cannot make a pipe: $!\n";
$SIG{$_} = sub { cancel(); syswrite $held, '.'; exit 1 } for grep { ($SIG{$_} // '') ne 'IGNORE' } qw(INT TERM HUP);
1 while $text !~ /\n/ && sysread($said, $text, 4096, length $text);
my $watcher = fork;
die "slurm.pl: cannot start a process: $!\n" unless defined $watcher;
if ($watcher == 0) {
  $SIG{$_} = 'IGNORE' for qw(INT TERM HUP);
  setpgrp(0, 0);
  close $held;
  open($_, '+<', '/dev/null') for *STDIN, *STDOUT, *STDERR;
  cancel() unless sysread($life, my $word, 1);
  POSIX::_exit(0);
}
1 while sysread($said, $text, 4096);
waitpid($sbatch, 0);
my $code = $?;
cancel() if $code & 127; # sbatch was killed: the job may run
syswrite $held, '.';
if ($code != 0) {
  print STDERR "slurm.pl: a job failed, log is in $log\n";
  exit 1;
}
