"""The points ledger against plain INSERTs of the same rows."""
