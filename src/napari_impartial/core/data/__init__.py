"""Images, channels and scribbles."""
