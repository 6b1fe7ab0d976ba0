"""From NAT to nftables text, and what nftables cannot say."""

from __future__ import annotations

import itertools
import re
import subprocess
from dataclasses import replace
from typing import Any

import pytest

from natkit.errors import Unsupported
from natkit.lab.netns import programs, router_rules
from natkit.lab.netns.rules import batches
from natkit.lab.scenarios import POOL, SCENARIOS, WAN, Scenario, behind
from natkit.lab.topology import Firewall, Hairpin, Nat, Pooling, PortPolicy
from natkit.nat.behaviour import Filtering, Mapping

EI, AD, APD = Mapping
EIF, ADF, APDF = Filtering
NEEDS_KERNEL = [pytest.mark.root, pytest.mark.needs("root", "nft", "unshare")]


def rules(nat: Nat | None, firewall: Firewall = Firewall()) -> str:
    topology = behind(nat, firewall)
    return router_rules(topology, topology.routers[0])


def test_a_plain_router_needs_no_rules() -> None:
    assert rules(None) == ""


def test_the_home_router_in_full() -> None:
    assert (
        rules(Nat())
        == f"""\
table ip nat {{
    chain arriving {{
        type nat hook prerouting priority -100;
    }}
    chain leaving {{
        type nat hook postrouting priority 100;
        oifname "wan" snat to {WAN}
    }}
    chain left {{
        type filter hook postrouting priority 200;
    }}
    chain unasked {{
        type filter hook input priority 0;
        iifname "wan" ct state new drop
    }}
    chain through {{
        type filter hook forward priority 0;
        iifname "wan" ct state new ct status dnat accept
        iifname "wan" ct state new drop
    }}
}}
"""
    )


@pytest.mark.parametrize("step", [1, 2, -1])
def test_a_sequence_is_spelled_out_because_the_generators_give_host_order(step: int) -> None:
    text = rules(Nat(APD, ports=PortPolicy.SEQUENTIAL, port_range=(40000, 40003), port_step=step))
    wanted = {
        1: "{ 1 : 40000, 2 : 40001, 3 : 40002, 4 : 40003 }",
        2: "{ 1 : 40000, 2 : 40002 }",
        -1: "{ 1 : 40003, 2 : 40002, 3 : 40001, 4 : 40000 }",
    }
    assert text.endswith(f"\nadd element ip nat ports {wanted[step]}\n")
    assert f"numgen inc mod {len(wanted[step].split(','))} offset 1\n" in text


def test_a_large_range_of_ports_is_loaded_in_batches() -> None:
    text = rules(Nat(APD, ports=PortPolicy.HASHED, port_range=(30000, 49999)))
    head, *elements = batches(text)
    assert "".join([head, *elements]) == text
    assert "add element" not in head
    assert all(len(batch) < 100_000 for batch in elements)
    found = [port for batch in elements for port in re.findall(r" : (\d+)", batch)]
    assert found == [str(port) for port in range(30000, 50000)]


def test_no_rules_are_no_batches() -> None:
    assert batches("") == []


@pytest.mark.parametrize(
    ("mapping", "key"),
    [
        (EI, "jhash ip saddr . th sport mod"),
        (AD, "jhash ip saddr . th sport . ip daddr mod"),
        (APD, "jhash ip saddr . th sport . ip daddr . th dport mod"),
    ],
)
def test_a_hashed_port_depends_on_the_key_of_the_mapping(mapping: Mapping, key: str) -> None:
    assert key in rules(Nat(mapping, ports=PortPolicy.HASHED, port_range=(40000, 40009)))


def test_seed_zero_is_not_passed_on_because_the_kernel_would_draw_one() -> None:
    topology = behind(Nat(APD, ports=PortPolicy.HASHED, port_range=(40000, 40009)))
    assert "seed 0x1 " in router_rules(topology, topology.routers[0], seed=0)


def test_random_ports_never_keep_one_that_is_in_their_range() -> None:
    text = rules(Nat(ports=PortPolicy.RANDOM, port_range=(40000, 49999)))
    assert f"th sport 40000-44999 snat to {WAN}:45000-49999" in text
    assert f"th sport 45000-49999 snat to {WAN}:40000-44999" in text


def test_tables_live_as_long_as_a_mapping() -> None:
    text = rules(Nat(filtering=ADF, lifetime=7, table_size=3))
    assert text.count("timeout 7s") == 3
    assert "size 3;" in text


def test_everything_new_from_outside_is_dropped_by_a_stateful_firewall() -> None:
    assert 'iifname "wan" ct state new drop' in rules(None, Firewall(stateful=True))


def test_no_tcp_port_at_all_can_be_allowed() -> None:
    text = rules(None, Firewall(tcp_ports=()))
    assert 'iifname "lan" meta l4proto tcp ct state new drop' in text


@pytest.mark.parametrize(
    ("nat", "words"),
    [
        (Nat(rewrites_payload=True), "ALG"),
        (Nat(lifetime=0.5), "lifetime"),
        (Nat(lifetime=2.5), "lifetime"),
        (Nat(APD, one_to_one=True, pool=POOL), "one-to-one"),
        (Nat(pool=(POOL[0], POOL[2])), "one run"),
    ],
)
def test_what_nftables_cannot_express_is_refused_in_words(nat: Nat, words: str) -> None:
    with pytest.raises(Unsupported, match=words) as refusal:
        rules(nat)
    assert "--backend sim" in str(refusal.value)


def _accepted(text: str) -> None:
    command = [programs.path_of("unshare"), "--net", programs.path_of("nft"), "-c", "-f", "-"]
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr + text


@pytest.mark.parametrize(
    "scenario",
    [pytest.param(each, id=name, marks=NEEDS_KERNEL) for name, each in SCENARIOS.items()],
)
def test_the_kernel_takes_the_rules_of_every_scenario(scenario: Scenario) -> None:
    for router in scenario.topology.routers:
        _accepted(router_rules(scenario.topology, router))


_POOLS: list[dict[str, Any]] = [
    {},
    *({"pool": POOL, "pooling": pooling} for pooling in Pooling),
    {"hairpin": Hairpin.EXTERNAL_SOURCE, "table_size": 9},
]


@pytest.mark.parametrize("extra", [pytest.param(each, marks=NEEDS_KERNEL) for each in _POOLS])
def test_the_kernel_takes_every_combination(extra: dict[str, Any]) -> None:
    for mapping, filtering, ports in itertools.product(Mapping, Filtering, PortPolicy):
        nat = replace(Nat(mapping, filtering, ports, (40000, 40099)), **extra)
        _accepted(rules(nat))
