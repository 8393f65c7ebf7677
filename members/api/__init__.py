"""The members' part of the REST API: signing in, oneself, other people, segments."""
