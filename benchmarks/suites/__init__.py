"""One module for each thing measured; each names its suite `SUITE`."""
