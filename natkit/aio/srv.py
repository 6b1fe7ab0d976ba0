"""SRV look-ups by this machine's DNS servers."""

from __future__ import annotations

import dns.asyncresolver
import dns.exception
import dns.rdatatype

from natkit.machine import Seconds
from natkit.stun.uri import SrvRecord

DNS_PATIENCE: Seconds = 3.0
"""How long to wait for an SRV answer: most names have none, and some resolvers drop the query."""


async def look_up_srv(name: str) -> tuple[SrvRecord, ...]:
    """Return the SRV records of `name` ("_stun._udp.example.org"); empty: none, or no DNS."""
    try:
        answer = await dns.asyncresolver.resolve(
            name, dns.rdatatype.SRV, lifetime=DNS_PATIENCE, search=False
        )
    except (dns.exception.DNSException, OSError):
        return ()
    found = (
        SrvRecord(r.priority, r.weight, r.port, r.target.to_text(omit_final_dot=True))
        for r in answer
    )
    # A target of "." says that the service is decidedly not there (RFC 2782).
    return tuple(record for record in found if record.target not in ("", "."))
