"""Calto's server: sign-in, presence, signalling, history, and the relay, in one process."""
