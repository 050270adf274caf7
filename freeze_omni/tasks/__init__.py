"""Training on ESPnet: one task for each training stage of the paper. Importing it needs the extra `[train]`."""
