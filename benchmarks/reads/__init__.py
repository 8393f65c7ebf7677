"""What the benchmarks of reading share: data, a stand of servers, a client."""
