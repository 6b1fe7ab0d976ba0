"""`natkit.Connection` in the simulator: gathering, connecting, restarting, and how it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import aioice
import pytest

import natkit
from natkit.errors import UsageError
from natkit.ice.events import State
from natkit.lab.servers import stun_servers
from natkit.lab.sim import run
from natkit.lab.topology import Nat, World
from natkit.tools.turn_path import Inbox
from natkit.wire import TransportAddress
from tests.ice.homes import KINDS, RELAY_PORT, server, tell, two_homes
from tests.lab.turn import turn_host

LIVE, DEAD = ("stun", 3478), ("203.0.113.250", 3478)

Main = Callable[[World], Awaitable[Any]]


def play(main: Main, nat: Nat = KINDS["full-cone"]) -> Any:
    async def with_servers(world: World) -> Any:
        async with stun_servers(world), turn_host(world, port=RELAY_PORT):
            return await main(world)

    return run(two_homes(nat, nat), with_servers)


def alice(world: World, **options: Any) -> natkit.Connection:
    return natkit.Connection(True, network=world.network("alice"), **options)


def bob(world: World, **options: Any) -> natkit.Connection:
    return natkit.Connection(False, network=world.network("bob"), **options)


async def connected(world: World, **options: Any) -> tuple[natkit.Connection, natkit.Connection]:
    a = alice(world, stun_server=LIVE, **options)
    b = bob(world, stun_server=LIVE, **options)
    await asyncio.gather(a.gather_candidates(), b.gather_candidates())
    await tell(a, b)
    await tell(b, a)
    await asyncio.gather(a.connect(), b.connect())
    return a, b


def kinds(connection: natkit.Connection) -> list[str]:
    return [str(candidate.type) for candidate in connection.local_candidates]


def test_candidates_are_told_as_they_are_found_and_none_comes_last():
    async def main(world: World) -> None:
        heard: list[Any] = []
        a = alice(world, stun_servers=[LIVE], turn_servers=[server()], on_candidate=heard.append)
        await a.gather_candidates()
        assert [c and str(c.type) for c in heard] == ["host", "srflx", "relay", None]
        assert heard[:-1] == a.local_candidates
        await a.close()

    play(main)


@pytest.mark.parametrize("servers", [[DEAD, LIVE], [LIVE, DEAD], ["stun:nowhere", LIVE]])
def test_dead_stun_server_makes_gathering_no_slower(servers: list[Any]):
    async def gathering(world: World, asked: list[Any]) -> float:
        a = alice(world, stun_servers=asked)
        began = world.network("alice").now()
        await a.gather_candidates()
        assert kinds(a) == ["host", "srflx"]
        await a.close()
        return world.network("alice").now() - began

    async def main(world: World) -> None:
        assert await gathering(world, servers) == pytest.approx(await gathering(world, [LIVE]))

    play(main)


def test_dead_turn_server_does_not_keep_the_relay_of_another():
    async def main(world: World) -> None:
        dead = natkit.TurnServer("turn:203.0.113.250", "u", "p")
        a = alice(world, turn_servers=[dead, server()])
        began = world.network("alice").now()
        await a.gather_candidates()
        assert world.network("alice").now() - began < 0.2
        assert kinds(a) == ["host", "relay"]
        await a.close()

    play(main)


def test_relay_policy_gathers_relayed_candidates_alone_and_hides_where_we_are():
    async def main(world: World) -> None:
        a = alice(
            world,
            stun_server=LIVE,
            turn_servers=[server()],
            transport_policy=natkit.TransportPolicy.RELAY,
        )
        await a.gather_candidates()
        (only,) = a.local_candidates
        assert (str(only.type), only.related_address, only.related_port) == ("relay", "0.0.0.0", 9)
        await a.close()

    play(main)


def test_no_relay_policy_does_not_ask_for_one():
    async def main(world: World) -> None:
        a = alice(world, turn_servers=[server()], transport_policy=natkit.TransportPolicy.NO_RELAY)
        await a.gather_candidates()
        assert kinds(a) == ["host"]
        assert a.report()["inquiries"] == []
        await a.close()

    play(main)


def test_refused_credentials_are_told_in_the_report():
    async def main(world: World) -> None:
        wrong = natkit.TurnServer(server().uri, "alice", "wrong")
        a = alice(world, turn_servers=[wrong])
        await a.gather_candidates()
        (inquiry,) = a.report()["inquiries"]
        assert inquiry["error"].startswith("the server refused with 401")
        await a.close()

    play(main)


def test_only_chosen_interfaces_are_used():
    async def main(world: World) -> None:
        a = alice(world, interfaces=["lo"])
        await a.gather_candidates()
        assert [candidate.host for candidate in a.local_candidates] == ["::1", "127.0.0.1"]
        await a.close()

    play(main)


def test_data_goes_both_ways_and_the_pair_names_both_kinds():
    async def main(world: World) -> None:
        a, b = await connected(world)
        await a.send(b"there")
        assert await b.recvfrom() == (b"there", 1)
        await b.sendto(b"back", 1)
        assert await a.recv() == b"back"
        pair = a.selected_pair()
        assert pair is not None
        assert (str(pair.local.type), str(pair.remote.type)) == ("srflx", "srflx")
        assert (pair.origin.interface, pair.origin.server) == ("eth0", "stun:stun:3478")
        assert not pair.is_relayed
        assert pair.round_trip == pytest.approx(0.04)
        await asyncio.gather(a.close(), b.close())

    play(main)


@pytest.mark.parametrize("data", [b"", b"\0", b"\1\1" + bytes(30), b"\x80" + bytes(1200)])
def test_data_of_any_kind_goes_through(data: bytes):
    async def main(world: World) -> None:
        a, b = await connected(world)
        await a.send(data)
        assert await b.recv() == data
        await asyncio.gather(a.close(), b.close())

    play(main)


def test_connect_can_run_while_gathering_does_and_candidates_trickle():
    async def main(world: World) -> None:
        a = alice(world, stun_server=LIVE)
        b = bob(world, stun_server=LIVE)
        for ours, theirs in ((a, b), (b, a)):
            ours.remote_username, ours.remote_password = (
                theirs.local_username,
                theirs.local_password,
            )
            pass_on = theirs.add_remote_candidate
            ours.on_candidate = lambda c, send=pass_on: tasks.append(asyncio.ensure_future(send(c)))
        tasks: list[Any] = []
        gathering = [asyncio.ensure_future(side.gather_candidates()) for side in (a, b)]
        await asyncio.sleep(0)
        await asyncio.gather(a.connect(), b.connect(), *gathering)
        await a.send(b"there")
        assert await b.recv() == b"there"
        await asyncio.gather(*tasks)
        await asyncio.gather(a.close(), b.close())

    play(main)


def test_restart_moves_the_connection_to_new_sockets_without_losing_data():
    async def main(world: World) -> None:
        a, b = await connected(world)
        before = a.local_candidates
        for side in (a, b):
            side.restart()
        assert a.state is State.NEW
        await a.send(b"meanwhile")
        assert await b.recv() == b"meanwhile"
        await asyncio.gather(a.gather_candidates(), b.gather_candidates())
        await tell(a, b)
        await tell(b, a)
        await asyncio.gather(a.connect(), b.connect())
        await a.send(b"after")
        assert await b.recv() == b"after"
        assert not set(before) & set(a.local_candidates)
        await asyncio.gather(a.close(), b.close())

    play(main)


def test_states_are_told_and_a_lost_peer_ends_in_closed():
    async def main(world: World) -> None:
        states: list[State] = []
        a, b = await connected(world, on_state=states.append)
        await asyncio.sleep(1)
        states.clear()
        receiving = asyncio.ensure_future(a.recv())
        await b.close()
        assert isinstance(await a.get_event(), natkit.ConnectionClosed)
        assert states == [State.DISCONNECTED, State.FAILED]
        with pytest.raises(ConnectionError, match="lost"):
            await receiving
        with pytest.raises(ConnectionError):
            await a.send(b"more")
        assert await a.get_event() is None
        await a.close()

    play(main)


def test_relayed_data_takes_a_channel():
    async def main(world: World) -> None:
        options = {"turn_servers": [server()], "transport_policy": natkit.TransportPolicy.RELAY}
        a, b = await connected(world, **options)
        await asyncio.sleep(1)
        await a.send(b"there")
        assert await b.recv() == b"there"
        pair = a.selected_pair()
        assert pair is not None
        assert pair.is_relayed
        await asyncio.gather(a.close(), b.close())

    play(main, KINDS["symmetric"])


def test_what_is_missing_is_said_before_connecting():
    async def main(world: World) -> None:
        a = alice(world)
        with pytest.raises(ConnectionError, match="gathering was not performed"):
            await a.connect()
        await a.gather_candidates()
        with pytest.raises(ConnectionError, match="username or password is missing"):
            await a.connect()
        with pytest.raises(ConnectionError, match="not connected"):
            await a.send(b"x")
        with pytest.raises(ConnectionError, match="not connected"):
            await a.recv()
        await a.close()

    play(main)


def test_peer_that_never_answers_is_given_up():
    async def main(world: World) -> None:
        a, b = alice(world), bob(world)
        await asyncio.gather(a.gather_candidates(), b.gather_candidates())
        await tell(a, b)
        with pytest.raises(ConnectionError, match="ICE negotiation failed"):
            await a.connect()
        (pair,) = a.report()["pairs"]
        assert pair["notes"][-1][1] == "no answer to a check that was sent 7 times"
        await asyncio.gather(a.close(), b.close())

    play(main)


def test_peer_that_answers_and_goes_before_it_starts_is_given_up():
    async def main(world: World) -> None:
        a, b = alice(world), bob(world, stun_server=LIVE)
        await asyncio.gather(a.gather_candidates(), b.gather_candidates())
        a.ice_controlling, b.ice_controlling = False, True
        await tell(a, b)
        connecting = asyncio.ensure_future(a.connect())
        await asyncio.sleep(2)
        assert a.selected_pair() is not None
        await b.close()
        with pytest.raises(ConnectionError, match="ICE negotiation failed"):
            await connecting
        await a.close()

    play(main)


def test_restart_after_the_loss_brings_events_and_data_back():
    async def main(world: World) -> None:
        a, b = await connected(world)
        await b.send(b"before the loss")
        await asyncio.sleep(1)
        await b.close()
        assert isinstance(await a.get_event(), natkit.ConnectionClosed)
        assert await a.get_event() is None
        c = bob(world, stun_server=LIVE)
        a.restart()
        await asyncio.gather(a.gather_candidates(), c.gather_candidates())
        await tell(a, c)
        await tell(c, a)
        await asyncio.gather(a.connect(), c.connect())
        waiting = asyncio.ensure_future(a.get_event())
        await c.send(b"and after it")
        assert await a.recv() == b"before the loss"
        assert await a.recv() == b"and after it"
        assert not waiting.done()
        await asyncio.gather(a.close(), c.close())
        assert isinstance(await waiting, natkit.ConnectionClosed)

    play(main)


def test_peer_is_reached_though_somebody_told_a_thousand_other_candidates():
    async def main(world: World) -> None:
        a, b = alice(world, stun_server=LIVE), bob(world, stun_server=LIVE)
        await asyncio.gather(a.gather_candidates(), b.gather_candidates())
        for port in range(1000, 2000):
            junk = natkit.Candidate.from_sdp(f"1 1 udp 2130706431 198.51.100.9 {port} typ host")
            await a.add_remote_candidate(junk)
        await tell(a, b)
        await tell(b, a)
        await asyncio.gather(a.connect(), b.connect())
        await asyncio.gather(a.close(), b.close())

    play(main)


def test_what_no_datagram_can_carry_is_refused():
    async def main(world: World) -> None:
        a, b = await connected(world)
        with pytest.raises(ValueError, match="65508 bytes: a datagram has 65507 at the most"):
            await a.send(bytes(65508))
        await asyncio.gather(a.close(), b.close())

    play(main)


def test_closed_connection_is_not_restarted():
    async def main(world: World) -> None:
        a, b = await connected(world)
        await asyncio.gather(a.close(), b.close())
        with pytest.raises(ConnectionError, match="closed"):
            a.restart()

    play(main)


@pytest.mark.parametrize("after", [0.0, 0.001, 0.03, 0.5, 2.5])
def test_closing_while_gathering_ends_it_and_leaves_nothing_behind(after: float):
    """After 0.03 s the allocation is half made; the dead servers are asked for longer."""

    async def main(world: World) -> None:
        async with stun_servers(world), turn_host(world, port=RELAY_PORT) as host:
            heard: list[Any] = []
            a = alice(
                world,
                stun_servers=[LIVE, DEAD],
                turn_servers=[server(), natkit.TurnServer("turn:203.0.113.250", "u", "p")],
                tcp=["passive"],
                port_mapping=True,
                on_candidate=heard.append,
            )
            gathering = asyncio.ensure_future(a.gather_candidates())
            await asyncio.sleep(after)
            await a.close()
            told = len(heard)
            await gathering
            await asyncio.sleep(20)
            assert len(heard) == told
            assert host.relays == {}
            for port in {c.port for c in filter(None, heard) if c.type == "host"}:
                local = TransportAddress("10.0.1.2", port)
                (await world.network("alice").open_datagram(Inbox(), local=local)).close()

    run(two_homes(KINDS["full-cone"], KINDS["full-cone"]), main)


def test_closing_ends_a_connect_that_waits():
    async def main(world: World) -> None:
        a, b = alice(world), bob(world)
        await asyncio.gather(a.gather_candidates(), b.gather_candidates())
        await tell(a, b)
        connecting = asyncio.ensure_future(a.connect())
        await asyncio.sleep(1)
        await a.close()
        with pytest.raises(ConnectionError):
            await connecting
        await b.close()

    play(main)


def test_candidate_after_the_last_is_refused():
    async def main(world: World) -> None:
        a = alice(world)
        await a.add_remote_candidate(None)
        with pytest.raises(ValueError, match="after end-of-candidates"):
            await a.add_remote_candidate(None)

    play(main)


def test_candidates_of_no_use_are_left_out_or_shown_as_unresolved():
    async def main(world: World) -> None:
        a = alice(world)
        named = natkit.Candidate.from_sdp("1 1 udp 1 some-name.local 5 typ host")
        await a.add_remote_candidate(named)
        await a.add_remote_candidate(natkit.Candidate.from_sdp("1 1 udp 1 1.2.3.4 5 typ odd"))
        assert a.remote_candidates == [named]
        assert a.report()["unresolved"] == ["host some-name.local:5"]

    play(main)


def test_pair_can_be_chosen_by_hand_for_a_peer_without_ice():
    async def main(world: World) -> None:
        a, b = alice(world, stun_server=LIVE), bob(world, stun_server=LIVE)
        await asyncio.gather(a.gather_candidates(), b.gather_candidates())
        await tell(a, b)
        remote = next(c for c in b.local_candidates if c.type == "srflx")
        a.set_selected_pair(1, a.local_candidates[0].foundation, remote.foundation)
        await a.send(b"there")
        with pytest.raises(UsageError):
            a.set_selected_pair(1, "none", "none")
        await asyncio.gather(a.close(), b.close())

    play(main)


@pytest.mark.parametrize(
    "options", [{"local_username": "abc"}, {"local_password": "short"}, {"local_username": "a-bcd"}]
)
def test_credentials_that_ice_does_not_allow_are_refused(options: dict[str, str]):
    with pytest.raises(ValueError, match="must satisfy"):
        natkit.Connection(True, **options)


def test_aioices_own_policy_is_understood():
    connection = natkit.Connection(True, transport_policy=aioice.TransportPolicy.RELAY)  # type: ignore[arg-type]
    assert connection.transport_policy is natkit.TransportPolicy.RELAY


def test_chosen_credentials_are_used():
    connection = natkit.Connection(True, local_username="abcd", local_password="p" * 22)
    assert (connection.local_username, connection.local_password) == ("abcd", "p" * 22)
