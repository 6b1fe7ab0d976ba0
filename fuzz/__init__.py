"""Random and mutated bytes for every decoder: `python -m fuzz.run`."""
