"""Fitting the network to scribbles."""
