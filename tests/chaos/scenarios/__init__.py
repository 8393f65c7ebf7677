"""One module per guarantee: `run(stage, outcome)` breaks things under load and notes what it found."""
