"""The sections of the matrix: each asks one kind of surface and fills cells."""
