"""The dock's step *Train*."""
