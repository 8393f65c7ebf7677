"""The campaigns' part of the REST API: how far they are, and what they brought."""
