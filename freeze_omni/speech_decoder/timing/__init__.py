"""When each row of a text is spoken: alignment of text and speech by a hidden Markov model, for stage 2.2."""
