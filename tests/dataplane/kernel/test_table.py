"""The table keeps its slots, and goes when it is closed."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest

from natkit.dataplane.kernel import places, syscalls
from natkit.dataplane.kernel.syscalls import BpfRefused
from natkit.dataplane.kernel.table import Carried, Ends, FastTable, open_part, part_of
from natkit.wire import TransportAddress
from tests.dataplane.kernel.ground import ground

pytestmark = [pytest.mark.root, pytest.mark.needs("root", "ip", "xdp")]

LEAVING = Ends(TransportAddress("10.9.2.1", 6000), TransportAddress("10.9.2.2", 7000), 0)


def arriving(port: int) -> Ends:
    client, server = TransportAddress("10.9.1.2", port), TransportAddress("10.9.1.1", 3478)
    return Ends(client, server, 0x4001)


@pytest.fixture
def table() -> Iterator[FastTable]:
    made = FastTable(2)
    yield made
    made.close()


def test_full_table_takes_no_more_until_an_entry_is_taken_out(table: FastTable) -> None:
    first = table.put(arriving(1), LEAVING, 10.0)
    second = table.put(arriving(2), LEAVING, 10.0)
    assert {first, second} == {0, 1}
    assert table.put(arriving(3), LEAVING, 10.0) is None
    assert first is not None
    assert table.take(arriving(1), first) == Carried(0, 0, 0.0)
    assert table.put(arriving(3), LEAVING, 10.0) == first


def test_slot_given_back_is_used_again_last(table: FastTable) -> None:
    first = table.put(arriving(1), LEAVING, 10.0)
    assert first is not None
    table.take(arriving(1), first)
    assert table.put(arriving(2), LEAVING, 10.0) != first


def test_worker_that_is_gone_leaves_the_others_their_entries() -> None:
    whole = FastTable(4)
    try:
        parts = [open_part(*map(os.dup, whole.shared), number, 2, 4) for number in (0, 1)]
        slots = [part.put(arriving(5000 + n), LEAVING, 10.0) for n, part in enumerate(parts)]
        assert slots == [0, 2]
        whole.end(0, 2)
        whole.end(0, 2)  # nothing is left of it
        left = syscalls.entries(whole.shared[0], places.KEY_SIZE, places.ENTRY_SIZE)
        assert [key for key, _ in left] == [arriving(5001).packed()]
        for part in parts:
            part.close()
    finally:
        whole.close()


def test_parts_of_workers_are_disjoint_and_all_there_is() -> None:
    parts = [part_of(10, number, 3) for number in range(3)]
    assert sorted(slot for part in parts for slot in part) == list(range(10))


def test_addresses_of_both_ip_versions_have_one_form() -> None:
    six = Ends(TransportAddress("fd00::1", 1), TransportAddress("fd00::2", 2), 0x4001)
    assert (
        six.packed().hex()
        == "fd00" + "0" * 27 + "1" + "fd00" + "0" * 27 + "2" + "000100024001" + "0000"
    )
    assert arriving(1).packed()[:16].hex() == "0" * 20 + "ffff0a090102"


def test_interface_that_has_a_program_is_refused_and_free_after_close() -> None:
    with ground() as world:
        first, second = FastTable(2), FastTable(2)
        try:
            world.attach(first, "client")
            with pytest.raises(BpfRefused, match="Another XDP program is there"):
                world.attach(second, "client")
            assert "xdp" in world.relay.command(["ip", "link", "show", "client"])
            first.close()
            assert "xdp" not in world.relay.command(["ip", "link", "show", "client"])
            world.attach(second, "client")
        finally:
            second.close()


def test_interface_that_is_gone_is_refused(table: FastTable) -> None:
    gone = max(index for index, _ in socket.if_nameindex()) + 1000
    with pytest.raises(BpfRefused, match="attach a program to interface"):
        table.attach(gone, bytes(6))
