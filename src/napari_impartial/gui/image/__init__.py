"""The dock's step *Image*."""
