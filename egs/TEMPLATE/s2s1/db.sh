# Where the corpora are on your machine: write the folder after `:-`, or set the variable in the environment.
# A recipe stops if the value that it needs is empty.
LIBRISPEECH=${LIBRISPEECH:-}
AISHELL=${AISHELL:-}
WENETSPEECH=${WENETSPEECH:-}
GIGASPEECH=${GIGASPEECH:-}
COMMONVOICE=${COMMONVOICE:-}
AN4=${AN4:-}
LJSPEECH=${LJSPEECH:-}
LIBRITTS=${LIBRITTS:-}
VCTK=${VCTK:-}
AISHELL3=${AISHELL3:-}
MOSS=${MOSS:-}
JSON_DIALOGUE=${JSON_DIALOGUE:-}
SGD=${SGD:-}
TASKMASTER=${TASKMASTER:-}
