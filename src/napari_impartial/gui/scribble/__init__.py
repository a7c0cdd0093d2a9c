"""The dock's step *Scribble*."""
