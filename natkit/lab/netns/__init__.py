"""Real Linux NATs: network namespaces and nftables, built from a topology."""

from natkit.lab.netns.capability import Capability, Need, Privilege, capability, prepare
from natkit.lab.netns.namespace import enter_user_namespace
from natkit.lab.netns.rules import router_rules
from natkit.lab.netns.service import Service
from natkit.lab.netns.world import NamespaceWorld, left_out, run

__all__ = [
    "Capability",
    "NamespaceWorld",
    "Need",
    "Privilege",
    "Service",
    "capability",
    "enter_user_namespace",
    "left_out",
    "prepare",
    "router_rules",
    "run",
]
