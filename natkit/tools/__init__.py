"""What people ask of natkit, as functions that take a `Network` and return a report value."""
