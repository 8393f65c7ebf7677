"""Chores of the repository; no process of the product imports them."""
