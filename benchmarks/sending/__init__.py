"""What the suites of the sending half share: a stack of servers, child processes that measure, a brand with people."""
