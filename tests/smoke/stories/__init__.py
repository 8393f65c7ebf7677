"""One module a story, each with `play(stage)`."""
