"""The dock's step *Refine*."""
