"""Stories that play the product headless against its own running stack: `make smoke`, `make smoke STORY=main`."""
