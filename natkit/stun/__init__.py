"""STUN: transactions and the Binding method, client and server (RFC 8489, RFC 5780)."""
