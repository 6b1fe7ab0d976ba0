"""Real Linux NATs: network namespaces and nftables, built from a topology."""

from natkit.lab.netns.rules import router_rules
from natkit.lab.netns.world import NamespaceWorld, run

__all__ = ["NamespaceWorld", "router_rules", "run"]
