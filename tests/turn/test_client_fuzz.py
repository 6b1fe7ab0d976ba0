"""Whatever a server sends, the TURN client neither raises nor falls silent for ever."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from natkit.turn.client import State
from natkit.wire import Message, MessageClass, Method
from tests.turn.scripted import KEY, PEER, SERVER, allocated
from tests.wire.strategies import attributes

DATAGRAMS = st.lists(
    st.one_of(
        st.binary(max_size=80),
        st.builds(
            lambda method, kind, number, found, signed: Message(
                method, kind, number.to_bytes(12, "big"), tuple(found)
            ).encode(key=KEY if signed else None),
            st.sampled_from(Method),
            st.sampled_from(MessageClass),
            st.integers(1, 8),
            st.lists(attributes, max_size=4),
            st.booleans(),
        ),
    ),
    max_size=8,
)


@given(DATAGRAMS, st.booleans())
def test_any_datagrams_leave_a_client_that_still_ends(
    datagrams: list[bytes], reliable: bool
) -> None:
    machine = allocated(reliable=reliable)
    machine.permit(PEER.ip, now=1.0)
    machine.open_channel(PEER, now=1.0)
    machine.send(PEER, b"data", now=1.0)
    for data in datagrams:
        machine.receive(data, SERVER, now=1.0)
        machine.transmits()
        machine.events()
    machine.delete(now=2.0)
    while (due := machine.deadline()) is not None:
        assert due <= 60.0
        machine.tick(now=due)
    assert machine.state is State.ENDED
