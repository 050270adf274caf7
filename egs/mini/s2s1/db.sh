# Where the corpora are on your machine. An empty value is asked for by the recipe that needs it.
LIBRISPEECH=
AISHELL=
WENETSPEECH=
GIGASPEECH=
COMMONVOICE=
LJSPEECH=
LIBRITTS=
VCTK=
AISHELL3=
