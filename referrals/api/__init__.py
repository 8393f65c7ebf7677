"""Invitations over REST."""
