"""NAT traversal in pure Python: STUN, NAT behaviour discovery and a lab to prove it in."""

__version__ = "0.1.0"
