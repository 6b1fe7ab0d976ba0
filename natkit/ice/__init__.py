"""ICE (RFC 8445): find a path between two hosts, keep it, and be able to say why this one."""
