"""The dock's step *Result*."""
