"""Prediction, its uncertainty, and the places to scribble next."""
