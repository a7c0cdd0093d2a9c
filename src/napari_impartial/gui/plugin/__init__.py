"""Commands, readers and writers that the manifest points to."""
