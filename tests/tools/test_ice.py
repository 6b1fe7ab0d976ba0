"""What gathering shows: which kinds work, why others do not, and what is misconfigured."""

from __future__ import annotations

import asyncio
from contextlib import closing
from dataclasses import replace
from random import Random
from typing import Any

import pytest

import natkit
from natkit.aio.ice_gather import GatherPlan
from natkit.aio.ice_servers import TurnServer, stun_uri
from natkit.aio.stun_server import serve_binding
from natkit.ice.inquiry import Cause
from natkit.lab.scenarios import SCENARIOS
from natkit.lab.servers import stun_servers
from natkit.lab.sim import run
from natkit.lab.topology import Host, Nat, World
from natkit.tools.ice import Outcome, Step, Survey, survey
from tests.ice.homes import KINDS, RELAY_PORT, server, two_homes
from tests.lab.turn import turn_host

LIVE = (stun_uri(("stun", 3478)), stun_uri(("stun2", 3478)))
DEAD = stun_uri(("203.0.113.250", 3478))


def gathered(
    nat: Nat = KINDS["port-restricted"], *, advertise: str | None = None, **plan: Any
) -> Survey:
    async def main(world: World) -> Survey:
        async with stun_servers(world), turn_host(world, port=RELAY_PORT) as host:
            if advertise is not None:
                host.advertise = advertise
            heard: list[Step] = []
            chosen = GatherPlan(thorough=True, **plan)
            found = await survey(world.network("alice"), chosen, Random(1).randbytes, heard.append)
            assert tuple(heard) == found.steps
            return found

    return run(two_homes(nat, nat), main)


def outcomes(found: Survey) -> dict[str, Outcome]:
    return {verdict.kind: verdict.outcome for verdict in found.verdicts}


def test_everything_works_and_is_told_as_it_comes():
    found = gathered(stun=LIVE, turn=(server(), server("tcp")))
    assert set(outcomes(found).values()) == {Outcome.WORKS}
    assert found.findings == ()
    assert found.exit_code == 0
    kinds = [str(step.found.candidate.type) for step in found.steps if step.found is not None]
    assert kinds == ["host", "srflx", "relay", "relay"]
    assert [step.at for step in found.steps] == sorted(step.at for step in found.steps)


def test_what_was_not_asked_for_does_not_fail():
    found = gathered()
    assert outcomes(found) == {"host": Outcome.WORKS, "reflexive": Outcome.NOT_ASKED}
    assert found.exit_code == 0


def test_dead_stun_server_is_named_with_its_silence():
    found = gathered(stun=(DEAD,))
    assert found.verdicts[1].outcome is Outcome.FAILS
    assert found.verdicts[1].why == "no answer to 3 requests"
    assert found.exit_code == 3


def test_refused_login_ends_with_4_and_says_so():
    wrong = natkit.TurnServer(server().uri, "alice", "wrong")
    found = gathered(stun=LIVE, turn=(wrong,))
    assert found.exit_code == 4
    assert found.findings == (f"{wrong.name} refuses the login. Try: natkit turn check",)


def test_symmetric_nat_is_seen_by_two_servers():
    (finding,) = gathered(KINDS["symmetric"], stun=LIVE).findings
    assert "gives every destination another port (symmetric)" in finding


def turn(uri: str, login: tuple[str | None, str | None] = ("alice", "wonderland")) -> TurnServer:
    return natkit.TurnServer(uri, *login)


CAUSES: dict[str, tuple[dict[str, Any], Cause, int | None]] = {
    "silent": ({"stun": (DEAD,)}, Cause.TIMEOUT, None),
    "nobody listens": ({"stun": (stun_uri(("203.0.113.10", 9)),)}, Cause.ICMP, None),
    "no such name": ({"stun": (stun_uri(("nowhere.example.org", 9)),)}, Cause.RESOLVE, None),
    "another password": ({"turn": (turn(server().uri, ("alice", "x")),)}, Cause.REFUSED, 401),
    "no login": ({"turn": (turn(server().uri, (None, None)),)}, Cause.LOGIN, 401),
    "silent relay": ({"turn": (turn("turn:203.0.113.250"),)}, Cause.TIMEOUT, None),
    "no relay there": ({"turn": (turn("turn:203.0.113.10:9"),)}, Cause.ICMP, None),
    "relay unknown": ({"turn": (turn("turn:nowhere.example.org"),)}, Cause.RESOLVE, None),
    "silent over tcp": (
        {"turn": (turn("turn:203.0.113.250?transport=tcp"),)},
        Cause.TIMEOUT,
        None,
    ),
    "refused over tcp": (
        {"turn": (turn("turn:203.0.113.10:9?transport=tcp"),)},
        Cause.CONNECTION,
        None,
    ),
    "no gateway": ({"mapping": True}, Cause.GATEWAY, None),
}


@pytest.mark.parametrize("name", CAUSES)
def test_why_a_server_gave_nothing_is_told_to_programs_too(name: str):
    plan, cause, code = CAUSES[name]
    (trouble,) = (it.inquiry.trouble for it in gathered(**plan).steps if it.inquiry)
    assert (trouble.cause, trouble.code) == (cause, code)
    assert trouble.words


def test_relay_that_speaks_no_tls_is_told_from_one_that_is_away():
    async def main() -> Any:
        def shut(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"220 this is no TLS\r\n")
            writer.close()

        async with await asyncio.start_server(shut, "127.0.0.1") as listening:
            port = listening.sockets[0].getsockname()[1]
            there = turn(f"turns:127.0.0.1:{port}")
            connection = natkit.Connection(True, turn_servers=[there], interfaces=["lo"])
            await connection.gather_candidates()
            await connection.close()
            return connection.report()["inquiries"]

    (asked,) = asyncio.run(main())
    assert asked["cause"] == "tls", asked


def test_server_within_the_network_does_not_make_the_nat_symmetric():
    within = "100.64.0.9"
    topology = SCENARIOS["double"].topology
    topology = replace(topology, hosts=(*topology.hosts, Host("within", "carrier", (within,))))

    async def main(world: World) -> Survey:
        plan = GatherPlan(thorough=True, stun=(*LIVE, stun_uri((within, 3478))))
        service = await serve_binding(world.network("within"), [within], rfc5780=False)
        with closing(service):
            async with stun_servers(world):
                return await survey(
                    world.network("alice"), plan, Random(1).randbytes, lambda _: None
                )

    found = run(topology, main)
    seen = {step.found.candidate.host for step in found.steps if step.inquiry and step.found}
    assert seen == {"100.64.0.2", "203.0.113.100"}
    assert found.findings == ()


def test_relay_without_reflexive_is_suspicious():
    (finding,) = gathered(stun=(DEAD,), turn=(server(),)).findings
    assert finding.startswith("A relay works and no STUN server answers")


def test_private_relayed_address_is_told():
    (finding,) = gathered(turn=(server(),), advertise="10.9.9.9").findings
    assert "10.9.9.9, which is private" in finding


@pytest.mark.parametrize("hosts", [True, False])
def test_relay_alone_is_no_failure_of_the_others(hosts: bool):
    found = gathered(hosts=hosts, turn=(server(),))
    assert found.exit_code == 0
    assert (outcomes(found)["host"] is Outcome.WORKS) is hosts
