"""Other methods, trained on the same scribbles, to compare with."""
