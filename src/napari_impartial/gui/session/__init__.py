"""Models, and sessions on disk."""
