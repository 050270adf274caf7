"""The chunk-wise streaming speech encoder and its CTC head (paper section 3.1, stage 1.1)."""
