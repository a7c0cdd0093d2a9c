"""The network, its losses, and the file that holds it."""
