"""The state of one annotation session: plain Python, no widgets, no layers."""
