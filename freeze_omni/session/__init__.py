"""A dialogue as a reducer over events (`reducer`), and the driver that runs a model for it (`session`)."""
