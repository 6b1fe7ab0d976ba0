"""What may stand on the wire, as hypothesis strategies."""

from __future__ import annotations

from hypothesis import strategies as st

from natkit.wire import (
    AccessToken,
    AdditionalAddressFamily,
    AddressErrorCode,
    AlternateDomain,
    AlternateServer,
    Attribute,
    CacheTimeout,
    ChangedAddress,
    ChangeRequest,
    ChannelNumber,
    ConnectionId,
    Data,
    DontFragment,
    ErrorCode,
    EvenPort,
    IceControlled,
    IceControlling,
    Icmp,
    Lifetime,
    MappedAddress,
    MobilityTicket,
    Nonce,
    OtherAddress,
    Padding,
    PasswordAlgorithm,
    PasswordAlgorithms,
    Priority,
    Realm,
    RequestedAddressFamily,
    RequestedTransport,
    ReservationToken,
    ResponseOrigin,
    ResponsePort,
    Software,
    SourceAddress,
    ThirdPartyAuthorization,
    TransportAddress,
    UnknownAttributes,
    Unrecognised,
    UseCandidate,
    UserHash,
    Username,
    XorMappedAddress,
    XorPeerAddress,
    XorRelayedAddress,
)

transaction_ids = st.binary(min_size=12, max_size=12)
u8s = st.integers(0, 2**8 - 1)
u16s = st.integers(0, 2**16 - 1)
u32s = st.integers(0, 2**32 - 1)
u64s = st.integers(0, 2**64 - 1)
addresses = st.builds(TransportAddress, st.ip_addresses().map(str), u16s)
codes = st.integers(300, 699)
_texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
_algorithms = st.builds(PasswordAlgorithm, u16s, st.binary(max_size=9))

BY_KIND: dict[type[Attribute], st.SearchStrategy[Attribute]] = {
    **{
        kind: st.builds(kind, addresses)
        for kind in (
            AlternateServer,
            ChangedAddress,
            MappedAddress,
            OtherAddress,
            ResponseOrigin,
            SourceAddress,
            XorMappedAddress,
            XorPeerAddress,
            XorRelayedAddress,
        )
    },
    **{
        kind: st.builds(kind, _texts)
        for kind in (AlternateDomain, Nonce, Realm, Software, ThirdPartyAuthorization, Username)
    },
    **{kind: st.builds(kind, u32s) for kind in (CacheTimeout, ConnectionId, Lifetime, Priority)},
    **{
        kind: st.builds(kind, u8s)
        for kind in (AdditionalAddressFamily, RequestedAddressFamily, RequestedTransport)
    },
    **{kind: st.builds(kind, u16s) for kind in (ChannelNumber, ResponsePort)},
    **{kind: st.builds(kind, u64s) for kind in (IceControlled, IceControlling)},
    **{kind: st.builds(kind, st.binary(max_size=90)) for kind in (Data, MobilityTicket)},
    **{kind: st.just(kind()) for kind in (DontFragment, UseCandidate)},
    AccessToken: st.builds(AccessToken, st.binary(max_size=12), st.binary(max_size=90)),
    AddressErrorCode: st.builds(AddressErrorCode, u8s, codes, _texts),
    ChangeRequest: st.builds(ChangeRequest, st.booleans(), st.booleans()),
    ErrorCode: st.builds(ErrorCode, codes, _texts),
    EvenPort: st.builds(EvenPort, st.booleans()),
    Icmp: st.builds(
        Icmp, st.integers(0, 127), st.integers(0, 511), st.binary(min_size=4, max_size=4)
    ),
    Padding: st.builds(Padding, st.integers(0, 1500)),
    PasswordAlgorithm: _algorithms,
    PasswordAlgorithms: st.builds(PasswordAlgorithms, st.lists(_algorithms, max_size=4).map(tuple)),
    ReservationToken: st.builds(ReservationToken, st.binary(min_size=8, max_size=8)),
    UnknownAttributes: st.builds(UnknownAttributes, st.lists(u16s, max_size=9).map(tuple)),
    UserHash: st.builds(UserHash, st.binary(min_size=32, max_size=32)),
}
"""How to make any value of each attribute class."""

attributes = st.one_of(*BY_KIND.values())

unrecognised = st.builds(
    Unrecognised, st.sampled_from([0x0002, 0x00FE, 0x7FFF, 0x8025, 0xFFFE]), st.binary(max_size=40)
)
