"""Whose results are believed: the user's own by a secret, all others by their signature."""
