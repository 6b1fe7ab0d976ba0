"""What the fast path needs of a machine is what the manifests and the guide say, and no more."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.dataplane.kernel.ground import V4, Ground, ground
from tests.dataplane.kernel.serving import calling, serving
from tests.kubernetes import PARTS

pytestmark = [pytest.mark.root, pytest.mark.needs("root", "ip", "setpriv")]


@pytest.fixture(scope="module")
def world() -> Iterator[Ground]:
    with ground() as made:
        yield made


def granted() -> list[str]:
    """Return the capabilities that the manifests give the server with the fast path."""
    component = yaml.safe_load((PARTS / "fast-path" / "kustomization.yaml").read_text())
    patch = yaml.safe_load(component["patches"][1]["patch"])
    [container] = patch["spec"]["template"]["spec"]["containers"]
    return container["securityContext"]["capabilities"]["add"]


def only(capabilities: list[str]) -> list[str]:
    """Return a command that runs another one as a root with these capabilities alone."""
    bounds = ",".join(["-all", *(f"+{name.lower()}" for name in capabilities)])
    return ["setpriv", f"--bounding-set={bounds}", "--no-new-privs"]


def test_capabilities_of_the_manifests_are_enough(world: Ground, tmp_path: Path) -> None:
    with (
        serving(world, tmp_path, under=only(granted())) as server,
        calling(world, server, V4) as call,
    ):
        assert (call.up(), call.down()) == ("fast", "fast")


@pytest.mark.parametrize("missing", granted())
def test_without_one_of_them_calls_go_the_slow_way(
    world: Ground,
    tmp_path: Path,
    missing: str,
) -> None:
    rest = [name for name in granted() if name != missing]
    with (
        serving(world, tmp_path, fast_path="auto", under=only(rest)) as server,
        calling(world, server, V4) as call,
    ):
        assert (call.up(), call.down()) == ("slow", "slow")
        assert "no fast path" in server.log.read_text()
