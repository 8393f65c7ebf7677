"""Starts the whole product on one machine: servers, database roles, processes. Knows nothing of the product's code."""
