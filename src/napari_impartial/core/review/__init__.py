"""Verdicts on objects, and the changes from one round to the next."""
