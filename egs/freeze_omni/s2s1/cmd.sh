# How jobs are started, as in Kaldi and ESPnet: run.pl starts them on this machine, slurm.pl on a cluster.
export cuda_cmd="run.pl"
export decode_cmd="run.pl"
# With slurm, use these two lines in place of those above, with partitions of your cluster (sinfo lists them). The
# stages add --gpu, and --num-threads to decode_cmd.
# export cuda_cmd="slurm.pl --partition gpu --time 48:00:00 --mem 64G --num-threads 8"
# export decode_cmd="slurm.pl --partition cpu --time 12:00:00 --mem 16G"
