"""A calling app on natkit. Nothing of it is written yet; README.md says what comes."""
