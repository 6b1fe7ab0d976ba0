"""Can this machine run the lab's namespaces? Each need, whether it is met, and how to mend it.

Everything is tried in a program of its own, so asking changes nothing here.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from natkit.errors import NatkitError, Unsupported
from natkit.lab.netns import programs
from natkit.lab.netns.namespace import enter_user_namespace
from natkit.lab.netns.rules import router_rules
from natkit.lab.scenarios import SCENARIOS


class Privilege(Enum):
    """By what right this process may make namespaces."""

    ROOT = "root"
    USER_NAMESPACE = "user namespace"


@dataclass(frozen=True, slots=True)
class Need:
    """One thing that the lab's namespaces need.

    Attributes:
        name: what it is ("nftables").
        met:  whether it is there.
        why:  what was found.
        mend: what to do about it; None when it is met or nothing helps.
    """

    name: str
    met: bool
    why: str
    mend: str | None = None


@dataclass(frozen=True, slots=True)
class Capability:
    """What the lab's namespaces need here, in the order in which it matters.

    Attributes:
        privilege: by what right; None: there is none.
    """

    privilege: Privilege | None
    needs: tuple[Need, ...]

    @property
    def ready(self) -> bool:
        """True when nothing is missing."""
        return all(need.met for need in self.needs)

    def require(self) -> None:
        """Raises: Unsupported: naming the first need that is not met, and its mend."""
        for need in self.needs:
            if not need.met:
                raise Unsupported(
                    f"this machine cannot run the lab in namespaces: no {need.name}",
                    why=need.why,
                    hint=need.mend,
                )


def prepare() -> None:
    """Make this process able to build worlds: without root, as root of a user namespace.

    For programs, before their first thread: see `enter_user_namespace`.

    Raises: Unsupported: this machine cannot, with the first thing that is missing and its mend.
    """
    found = capability()
    found.require()
    if found.privilege is Privilege.USER_NAMESPACE:
        enter_user_namespace()


def capability() -> Capability:
    """Find out what this machine can do. Takes some tens of milliseconds; never raises."""
    if sys.platform != "linux":
        missing = Need(
            "Linux", False, f"this is {sys.platform}", "Use the simulator: --backend sim"
        )
        return Capability(None, (missing,))
    installed = tuple(_programs())
    if not all(need.met for need in installed):
        return Capability(None, installed)
    privilege, right = _privilege()
    needs = (*installed, right)
    return Capability(privilege, needs if privilege is None else (*needs, _nftables(privilege)))


def _programs() -> Iterator[Need]:
    for name, package in programs.PACKAGES.items():
        path = programs.find(name)
        mend = None if path else f"Install it: apt install {package}"
        yield Need(f"program {name}", path is not None, path or "not found", mend)


def _privilege() -> tuple[Privilege | None, Need]:
    name = "right to make network namespaces"
    for privilege in Privilege:
        if privilege is Privilege.ROOT and os.geteuid() != 0:
            continue
        if _tried(privilege, ["ip", "link", "set", "lo", "up"]) is None:
            return privilege, Need(name, True, f"by {privilege.value}")
    why = _tried(Privilege.USER_NAMESPACE, ["true"]) or "it is refused"
    return None, Need(name, False, why, _user_namespace_mend())


def _user_namespace_mend() -> str:
    if Path("/proc/sys/kernel/apparmor_restrict_unprivileged_userns").exists():
        return "Run as root, or: sysctl kernel.apparmor_restrict_unprivileged_userns=0"
    return "Run as root, or allow user namespaces: sysctl user.max_user_namespaces=10000"


def _nftables(privilege: Privilege) -> Need:
    """Let the kernel check the rules of one NAT with tables and one with hashed ports."""
    name = "NAT by nftables in the kernel"
    for scenario in (SCENARIOS["symmetric-adf"], SCENARIOS["sequential"]):
        (router,) = scenario.topology.routers
        rules = router_rules(scenario.topology, router)
        refusal = _tried(privilege, ["nft", "--check", "--file", "-"], rules)
        if refusal is not None:
            mend = "The kernel needs CONFIG_NF_TABLES, CONFIG_NFT_NAT and CONFIG_NFT_NUMGEN"
            return Need(name, False, refusal.splitlines()[0], mend)
    return Need(name, True, "the kernel takes the rules")


def _tried(privilege: Privilege, argv: list[str], text: str = "") -> str | None:
    """Run a command in a throwaway namespace. Returns: None, or the reason why it failed."""
    enter = ["--user", "--map-root-user"] if privilege is Privilege.USER_NAMESPACE else []
    try:
        programs.run(["unshare", *enter, "--net", "--", programs.path_of(argv[0]), *argv[1:]], text)
    except (NatkitError, OSError, subprocess.SubprocessError) as error:
        return getattr(error, "why", None) or str(error)
    return None
