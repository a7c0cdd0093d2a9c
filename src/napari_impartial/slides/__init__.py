"""Pictures larger than memory: predicted, cut and measured block by block."""
