"""Bad input of every kind against the real thing: `make hostile` runs all of it and prints what it found."""
