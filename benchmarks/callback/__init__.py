"""What the suites of the receiving half share: pushes as WeChat makes them, a load generator, measured processes."""
