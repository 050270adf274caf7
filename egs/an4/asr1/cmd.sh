# How jobs are started, as in Kaldi and ESPnet: change run.pl to slurm.pl for a cluster.
export cuda_cmd="run.pl"
export decode_cmd="run.pl"
