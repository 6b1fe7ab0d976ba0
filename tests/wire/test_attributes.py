"""Every attribute: there and back, at its limits, and with bytes that are not it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from natkit.errors import MalformedMessage
from natkit.wire import (
    REGISTRY,
    AccessToken,
    AddressErrorCode,
    Attribute,
    ChangeRequest,
    ErrorCode,
    EvenPort,
    Icmp,
    MappedAddress,
    Message,
    Method,
    Padding,
    PasswordAlgorithm,
    PasswordAlgorithms,
    Priority,
    Ready,
    Realm,
    ReservationToken,
    ResponsePort,
    Software,
    TransportAddress,
    UnknownAttributes,
    UserHash,
    Username,
    XorPeerAddress,
)
from tests.wire.strategies import BY_KIND, attributes, transaction_ids

every_kind = pytest.mark.parametrize("kind", REGISTRY.values(), ids=lambda kind: kind.NAME)


def test_every_registered_attribute_has_a_strategy() -> None:
    assert set(BY_KIND) == set(REGISTRY.values())


@every_kind
def test_attribute_says_its_name_clause_and_bytes(kind: type[Attribute]) -> None:
    assert kind.NAME.isupper()
    assert kind.RFC.startswith("RFC ")
    assert kind.__doc__
    diagrams = [base.__doc__ or "" for base in kind.__mro__ if issubclass(base, Attribute)]
    assert any("|" in diagram for diagram in diagrams) or kind.SIZE == 0


@every_kind
@settings(max_examples=25)
@given(data=st.data(), transaction_id=transaction_ids)
def test_attribute_survives_the_wire(
    kind: type[Attribute], data: st.DataObject, transaction_id: bytes
) -> None:
    attribute = data.draw(BY_KIND[kind])
    message = Message.request(Method.BINDING, transaction_id, attribute)
    encoded = message.encode()
    assert len(encoded) % 4 == 0
    assert Message.decode(encoded).attributes == (attribute,)


@every_kind
@settings(max_examples=25)
@given(value=st.binary(max_size=40))
def test_any_value_decodes_or_is_malformed_at_its_clause(
    kind: type[Attribute], value: bytes
) -> None:
    try:
        attribute = kind.decode(value)
    except MalformedMessage:
        return
    assert type(attribute) is kind
    assert attribute == kind.decode(value)


@given(attributes)
def test_attribute_is_immutable_and_hashable(attribute: Attribute) -> None:
    hash(attribute)
    with pytest.raises((AttributeError, TypeError)):
        attribute.nothing = 1  # type: ignore[attr-defined]
    for field in dataclasses.fields(attribute):  # type: ignore[arg-type]
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(attribute, field.name, None)


@given(attributes, transaction_ids, transaction_ids)
def test_only_masked_addresses_depend_on_the_transaction_id(
    attribute: Attribute, one: bytes, other: bytes
) -> None:
    if attribute.packed(one) != attribute.packed(other):
        assert isinstance(attribute, XorPeerAddress.__mro__[1])
        assert ":" in attribute.address.ip


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (MappedAddress, "00"),
        (MappedAddress, "00031234c0000201"),
        (MappedAddress, "00011234c00002"),
        (MappedAddress, "00011234c000020100"),
        (MappedAddress, "00021234c0000201"),
        (Priority, "000000"),
        (Priority, "0000000000"),
        (Username, "ff"),
        (UserHash, "00" * 31),
        (ErrorCode, "000004"),
        (ErrorCode, "00000201"),
        (ErrorCode, "00000701"),
        (ErrorCode, "00000464"),
        (AddressErrorCode, "01000200"),
        (PasswordAlgorithm, "000100"),
        (PasswordAlgorithm, "0001000400"),
        (PasswordAlgorithm, "0001000000"),
        (PasswordAlgorithms, "000100000002"),
        (UnknownAttributes, "000100"),
        (ResponsePort, "12"),
        (ResponsePort, "123400"),
        (ResponsePort, "12340000ff"),
        (ReservationToken, "00" * 7),
        (EvenPort, ""),
        (AccessToken, "00041111"),
    ],
)
def test_value_of_the_wrong_shape_is_malformed(kind: type[Attribute], value: str) -> None:
    with pytest.raises(MalformedMessage) as caught:
        kind.decode(bytes.fromhex(value))
    assert caught.value.rfc.startswith("RFC ")


@pytest.mark.parametrize(
    ("attribute", "value"),
    [
        (ChangeRequest(change_ip=True, change_port=True), "00000006"),
        (ChangeRequest(change_ip=False, change_port=True), "00000002"),
        (EvenPort(reserve=True), "80"),
        (ErrorCode(438, "Stale Nonce"), "00000426" + b"Stale Nonce".hex()),
        (Icmp(kind=3, code=4, data=b"\0\0\5\x78"), "0000060400000578"),
        (ResponsePort(3478), "0d96"),
        (UnknownAttributes((0x24, 0x25)), "00240025"),
        (MappedAddress(TransportAddress("192.0.2.1", 32853)), "00018055c0000201"),
    ],
)
def test_value_stands_on_the_wire_as_the_rfc_draws_it(attribute: Attribute, value: str) -> None:
    assert attribute.encode().hex() == value
    assert type(attribute).decode(bytes.fromhex(value)) == attribute


def test_response_port_of_four_bytes_is_taken() -> None:
    assert ResponsePort.decode(bytes.fromhex("0d960000")) == ResponsePort(3478)


def test_reserved_bits_are_ignored() -> None:
    assert ChangeRequest.decode(bytes.fromhex("fffffff9")) == ChangeRequest(False, False)
    assert ErrorCode.decode(bytes.fromhex("fffffc01")) == ErrorCode(401)
    assert MappedAddress.decode(bytes.fromhex("ff018055c0000201")).address.port == 32853


def test_text_for_people_is_taken_whatever_its_encoding() -> None:
    assert Software.decode(b"caf\xe9") == Software("caf\ufffd")
    assert ErrorCode.decode(b"\0\0\4\0caf\xe9") == ErrorCode(400, "caf\ufffd")


def test_padding_keeps_its_size_only() -> None:
    assert Padding.decode(b"\xff" * 7) == Padding(7)


@pytest.mark.parametrize(
    "attribute",
    [
        Username("u" * 509),
        Realm("r" * 764),
        Software("s" * 764),
        ErrorCode(401, "w" * 764),
        ErrorCode(299),
        ErrorCode(700),
        AddressErrorCode(1, 200),
        Priority(2**32),
        Priority(-1),
        Icmp(3, 512),
        Icmp(3, 4, b"123"),
        ReservationToken(b"1234567"),
        UserHash(b"short"),
        UnknownAttributes((2**16,)),
        MappedAddress(TransportAddress("no.address", 1)),
        MappedAddress(TransportAddress("192.0.2.1", 2**16)),
        Padding(2**16),
    ],
    ids=repr,
)
def test_value_that_does_not_fit_is_not_sent(attribute: Attribute) -> None:
    with pytest.raises(ValueError, match=r".+"):
        Message.request(Method.BINDING, bytes(12), attribute).encode()


@pytest.mark.parametrize("size", [509, 5000])
def test_username_longer_than_allowed_is_received_for_the_server_to_judge(size: int) -> None:
    assert Username.decode(b"u" * size) == Username("u" * size)


def test_every_attribute_is_in_the_rfc_map() -> None:
    text = (Path(__file__).parents[2] / "docs" / "rfc-map.md").read_text(encoding="utf-8")
    rows = {tuple(cell.strip() for cell in row.split("|")[1:4]) for row in text.splitlines()}
    for kind in REGISTRY.values():
        clause = kind.RFC.removeprefix("RFC ").replace(" §", ", ")
        assert (clause, f"{kind.NAME} {kind.TYPE:#06x}", f"`wire.{kind.__name__}`") in rows


def test_attribute_made_ready_is_sent_as_itself() -> None:
    offered = PasswordAlgorithms((PasswordAlgorithm(2), PasswordAlgorithm(1, b"odd")))
    for one in (Realm("somewhere"), offered):
        plain = Message.request(Method.ALLOCATE, bytes(12), one, Priority(7)).encode()
        assert (
            Message.request(Method.ALLOCATE, bytes(12), Ready(one), Priority(7)).encode() == plain
        )
