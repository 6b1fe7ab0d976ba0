"""Port mapping protocols: PCP (RFC 6887) and NAT-PMP (RFC 6886)."""
