"""The dock's step *Review*."""
