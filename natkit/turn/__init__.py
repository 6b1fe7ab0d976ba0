"""TURN: relaying for those who cannot be reached, server and client (RFC 8656, 6062, 8016)."""
