"""`turn check` in simulated troubles: each is told in words, with its mend and its exit code."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from random import Random

import pytest

from natkit.lab import sim
from natkit.lab.scenarios import SCENARIOS, scenario
from natkit.lab.topology import World
from natkit.network import IcmpError
from natkit.stun.uri import SrvRecord
from natkit.tools.stun import Trust
from natkit.tools.turn_check import Manner, check
from natkit.tools.turn_report import CheckReport, State, TransportReport
from natkit.tools.turn_words import Given
from natkit.turn.client_auth import Login
from natkit.turn.client_uri import TurnUri
from natkit.turn.credentials import rest_password, rest_username
from natkit.turn.forwarding import Transport
from natkit.turn.quota import Limits
from natkit.wire import Message, Realm, TransportAddress
from tests.lab.turn import IP, IP6, PORT, SETTINGS, WORLDS_OWN, TurnHost, turn_host

EVERYWHERE = ("0.0.0.0/1", "128.0.0.0/1")
NOW = 1.8e9
ALICE = Given(Login("alice", "wonderland"), from_secret=False, unix_time=NOW)


def probe(
    uri: str = f"turn:{IP}?transport=udp",
    *,
    given: Given = ALICE,
    name: str = "home",
    spoil: Callable[[TurnHost], object] = lambda host: None,
    peers: tuple[str, ...] = WORLDS_OWN,
    tcp: bool = True,
    port: int = PORT,
    node: str = "alice",
    records: Mapping[str, Sequence[SrvRecord]] | None = None,
) -> CheckReport:
    """Check the server of a scenario from `node`, after `spoil` has made it worse."""

    async def look_up_srv(name: str) -> Sequence[SrvRecord]:
        return (records or {}).get(name, ())

    async def main(world: World) -> CheckReport:
        async with turn_host(world, peers=peers, tcp=tcp, port=port) as host:
            spoil(host)
            manner = Manner(given, Random(1).randbytes, Trust(), look_up_srv=look_up_srv)
            return await check(world.network(node), TurnUri.parse(uri), manner)

    return sim.run(scenario(name).topology, main, seed=1)


def only(report: CheckReport) -> TransportReport:
    (one,) = report.transports
    return one


def trouble(report: CheckReport) -> tuple[str, str, str, int]:
    """Return the one step that failed, what is wrong, its mend, and the exit code."""
    failed = [step for one in report.transports for step in one.steps if step.problem]
    (step,) = failed
    assert step.problem is not None
    assert step.state is State.FAILED
    return step.name, step.problem.what, step.problem.mend, report.exit_code


def test_servers_of_a_name_are_found_by_their_srv_records() -> None:
    records = {
        "_turn._udp.fleet.example": [SrvRecord(20, 0, 9, IP6), SrvRecord(10, 0, 3490, IP)],
        "_turn._tcp.fleet.example": [SrvRecord(10, 0, 3490, IP)],
        "_turns._tcp.fleet.example": [SrvRecord(10, 0, 3491, IP)],
    }
    report = probe("turn:fleet.example", port=3490, records=records)
    there = [(one.transport, one.server) for one in report.transports if one.server is not None]
    assert [(how, at.port) for how, at in there if not at.is_ipv6] == [
        (Transport.UDP, 3490),
        (Transport.TCP, 3490),
        (Transport.TLS, 3491),
    ]


def test_who_names_a_port_or_an_ip_asks_for_no_srv_record() -> None:
    elsewhere = [SrvRecord(0, 0, 9, "192.0.2.9")]
    for host in (IP, f"{IP}:{PORT}", f"stun:{PORT}"):
        records = {f"_turn._udp.{host.partition(':')[0]}": elsewhere}
        report = probe(f"turn:{host}?transport=udp", records=records)
        assert only(report).server == TransportAddress(IP, PORT)


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_good_server_passes_every_step(transport: str) -> None:
    report = probe(f"turn:{IP}?transport={transport}")
    one = only(report)
    assert report.exit_code == 0
    names = ["resolve", "connect", "allocate", "permit", "loop", "reach"]
    assert [s.name for s in one.steps] == [n for n in names if transport == "tcp" or n != "connect"]
    assert {step.state for step in one.steps} == {State.FINE}
    took = {step.name: step.seconds for step in one.steps}
    assert took["loop"] == pytest.approx(0.02, abs=0.005)
    assert took["reach"] == pytest.approx(0.02, abs=0.005)


def test_open_uri_is_tried_over_udp_and_tcp_and_tls_besides() -> None:
    report = probe(f"turn:{IP}", spoil=lambda host: None)
    kinds = [(one.transport, one.asked) for one in report.transports]
    assert kinds == [(Transport.UDP, True), (Transport.TCP, True), (Transport.TLS, False)]
    # There is no TLS there: seen, and no fault of what was asked for.
    assert report.transports[2].problems
    assert report.exit_code == 0


def test_unknown_name_ends_with_3() -> None:
    step, what, mend, code = trouble(probe("turn:nowhere.test?transport=udp"))
    assert (step, what, code) == ("resolve", "nowhere.test has no address", 3)
    assert "DNS" in mend


def test_blocked_udp_says_so() -> None:
    step, what, mend, code = trouble(probe(name="udp-blocked"))
    assert (step, what, code) == ("allocate", "no answer came over udp", 3)
    assert mend.startswith("UDP is blocked on the way")


def test_port_without_a_server_is_told_apart_from_silence() -> None:
    step, what, _, code = trouble(probe(f"turn:{IP}:99?transport=udp"))
    assert (step, what, code) == ("allocate", "nobody listens on that port over udp", 3)


def test_refused_connection_says_that_nobody_listens() -> None:
    step, _, mend, code = trouble(probe(f"turn:{IP}?transport=tcp", tcp=False))
    assert (step, code) == ("connect", 3)
    assert mend.startswith("Nobody listens there")


def test_firewall_that_drops_connections_is_suspected() -> None:
    step, what, mend, code = trouble(probe(f"turn:{IP}?transport=tcp", name="udp-blocked"))
    assert (step, code) == ("connect", 3)
    assert "does not answer" in what
    assert mend.startswith("A firewall drops")


# The login.


def login(username: str, password: str, *, from_secret: bool = False) -> Given:
    return Given(Login(username, password), from_secret, NOW)


EXPIRED = rest_username("alice", expires=int(NOW) - 90)
CURRENT = rest_username("alice", expires=int(NOW) + 90)


@pytest.mark.parametrize(
    ("given", "what"),
    [
        (Given(None, False, NOW), "(realm example.org) wants a user name and a password"),
        (login("alice", "wrong"), "does not know this user, or the password is wrong"),
        (login("alice ", "wonderland"), "the user name begins or ends with a space"),
        (login("alice", "wonderland\n"), "the password begins or ends with a space"),
        (login("1%3Aalice", "x"), "the user name is URL-encoded"),
        (login(EXPIRED, rest_password("s", EXPIRED)), "the user name expired 90 s ago"),
        (login(CURRENT, "x"), "refuses the password of this time-limited name"),
        (login(CURRENT, "x", from_secret=True), "refuses what was made from this secret"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_401_says_which_part_is_wrong(given: Given, what: str) -> None:
    step, told, mend, code = trouble(probe(given=given))
    assert (step, code) == ("allocate", 4)
    assert told.startswith("401: ")
    assert what in told
    assert mend


def test_quota_says_whose_it_is() -> None:
    def spoil(host: TurnHost) -> None:
        full = replace(SETTINGS, limits=Limits(allocations=0))
        host.machine.reconfigure(full, now=0.0)

    _, what, mend, code = trouble(probe(spoil=spoil))
    assert code == 1
    assert what.startswith(("486", "508"))
    assert "quota" in mend or "relay ports" in mend


class Scripted:
    """A server that refuses everything with one code."""

    def __init__(self, host: TurnHost, code: int) -> None:
        self.host = host
        self.code = code

    def receive(self, data: bytes, source: TransportAddress) -> None:
        assert self.host.udp is not None
        refusal = Message.decode(data).error(self.code, "Because", Realm("example.org"))
        self.host.udp.send(refusal.encode(), source)

    def error_received(self, error: IcmpError) -> None:
        raise AssertionError(error)


@pytest.mark.parametrize("code", [300, 400, 403, 405, 420, 437, 440, 441, 442, 486, 508])
def test_every_refusal_has_words_and_a_mend(code: int) -> None:
    def spoil(host: TurnHost) -> None:
        vars(host)["datagram_received"] = Scripted(host, code).receive

    step, what, mend, exit_code = trouble(probe(spoil=spoil))
    assert (step, exit_code) == ("allocate", 1)
    assert what.startswith(f'{code} ("Because"): ')
    assert str(code) not in mend


def test_unknown_refusal_sends_to_the_log() -> None:
    def spoil(host: TurnHost) -> None:
        vars(host)["datagram_received"] = Scripted(host, 599).receive

    _, what, mend, _ = trouble(probe(spoil=spoil))
    assert what == '599 ("Because"): the server refused'
    assert mend == "Look for 599 in the server's log"


def test_401_without_realm_blames_the_server() -> None:
    def spoil(host: TurnHost) -> None:
        vars(host)["datagram_received"] = Scripted(host, 401).receive

    _, what, mend, _ = trouble(probe(spoil=spoil))
    assert "its 401 bears no realm, no nonce" in what
    assert "realm" in mend


# The relay.


def test_unspecified_relayed_address_is_noticed() -> None:
    def spoil(host: TurnHost) -> None:
        host.advertise = "0.0.0.0"

    report = probe(spoil=spoil)
    (first, *_) = only(report).problems
    assert "no address at all" in first.what
    assert "--relay-address" in first.mend
    assert report.exit_code == 1


def test_server_that_does_not_relay_to_itself_is_told() -> None:
    def spoil(host: TurnHost) -> None:
        policy = replace(SETTINGS.policy, allow=(), relayed=frozenset())
        host.machine.reconfigure(replace(SETTINGS, policy=policy), now=0.0)

    report = probe(spoil=spoil)
    steps = {step.name: step.state for step in only(report).steps}
    assert steps["permit"] is State.FAILED
    assert steps["loop"] is State.SKIPPED
    assert "does not relay to its own relayed address" in only(report).problems[0].what


def test_server_that_does_not_relay_to_private_peers_is_asked_from_outside() -> None:
    report = probe(peers=(f"{IP}/32",))
    last = only(report).steps[-1]
    assert (last.name, last.state, report.exit_code) == ("reach", State.SKIPPED, 0)
    assert last.detail.startswith("the server does not relay to 203.0.113.100, which is private")


def test_firewall_on_the_relay_ports_is_suspected_where_nothing_arrives() -> None:
    def spoil(host: TurnHost) -> None:
        host.deaf = True

    step, what, mend, code = trouble(probe(spoil=spoil))
    assert (step, code) == ("reach", 3)
    assert what.startswith("nothing that is sent from here to 203.0.113.10:")
    assert mend.startswith("Open the server's relay ports")


def test_relay_is_not_blamed_where_no_udp_leaves_this_place() -> None:
    report = probe(f"turn:{IP}:443?transport=tcp", name="udp-blocked", port=443)
    one = only(report)
    assert report.exit_code == 0
    assert [step.state for step in one.steps][-2:] == [State.FINE, State.SKIPPED]
    assert one.steps[-1].detail.startswith("no UDP gets out of here")


def test_relay_is_blamed_over_tcp_where_udp_leaves_this_place() -> None:
    def spoil(host: TurnHost) -> None:
        host.deaf = True

    step, what, _, code = trouble(probe(f"turn:{IP}?transport=tcp", spoil=spoil))
    assert (step, code) == ("reach", 3)
    assert what.startswith("nothing that is sent from here")


def test_relay_on_this_very_host_is_asked_from_another_one() -> None:
    report = probe(peers=(), node="stun")
    last = only(report).steps[-1]
    assert (last.name, last.state, report.exit_code) == ("reach", State.SKIPPED, 0)
    assert last.detail.startswith(f"we are on the relay's own address {IP}")


def test_packets_that_do_not_leave_the_relay_are_told_apart() -> None:
    def spoil(host: TurnHost) -> None:
        host.dumb = True

    step, what, mend, code = trouble(probe(spoil=spoil))
    assert (step, code) == ("reach", 3)
    assert "hears us, but nothing that it sends comes back" in what
    assert mend.startswith("Let UDP out")


def test_server_reached_over_ipv6_may_relay_from_ipv4() -> None:
    async def main(world: World) -> CheckReport:
        async with turn_host(world, listen=IP6):
            manner = Manner(ALICE, Random(1).randbytes, Trust())
            uri = TurnUri.parse(f"turn:[{IP6}]?transport=udp")
            return await check(world.network("alice"), uri, manner)

    one = only(sim.run(scenario("dual-stack").topology, main, seed=1))
    assert one.allocated is not None
    assert one.allocated.relayed[0].ip == IP
    assert one.steps[-1].state is State.SKIPPED
    assert "no address of our IP version" in one.steps[-1].detail
    assert one.problems == []


def test_ip_version_without_a_route_is_left_out() -> None:
    # The server's name has IPv6 addresses, and alice's home has none.
    report = probe("turn:stun?transport=udp")
    (resolved, *_) = only(report).steps
    assert "2001:db8::10" in resolved.detail
    assert report.exit_code == 0


def test_server_without_any_route_fails() -> None:
    step, _, _, code = trouble(probe(f"turn:[{IP6}]?transport=tcp"))
    assert (step, code) == ("connect", 3)


def test_lost_packets_are_sent_again_and_counted() -> None:
    async def main(world: World) -> CheckReport:
        async with turn_host(world):
            manner = Manner(ALICE, Random(1).randbytes, Trust())
            uri = TurnUri.parse(f"turn:{IP}?transport=udp")
            return await check(world.network("alice"), uri, manner)

    lossy = scenario("home").with_loss(0.2).topology
    reports = [sim.run(lossy, main, seed=seed) for seed in range(10)]
    assert [report.exit_code for report in reports] == [0] * 10
    details = [step.detail for report in reports for step in only(report).steps]
    assert any("lost before" in detail for detail in details)


def test_dtls_is_skipped_in_words() -> None:
    one = only(probe(f"turns:{IP}?transport=udp"))
    assert one.steps[-1].state is State.SKIPPED
    assert "does not speak DTLS" in one.steps[-1].detail


@pytest.mark.parametrize("transport", ["udp", "tcp"])
@pytest.mark.parametrize("name", sorted(set(SCENARIOS) - {"udp-blocked"}))
def test_good_server_is_found_good_from_every_network(name: str, transport: str) -> None:
    report = probe(f"turn:{IP}?transport={transport}", name=name, peers=EVERYWHERE)
    assert only(report).problems == []


def test_addresses_that_change_from_flow_to_flow_are_noticed() -> None:
    last = only(probe(f"turn:{IP}?transport=tcp", name="pool-arbitrary")).steps[-1]
    assert last.state is State.SKIPPED
    assert "come from several addresses (203.0.113.10" in last.detail
