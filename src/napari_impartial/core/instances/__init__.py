"""From a probability to objects, their measurements and their scores."""
