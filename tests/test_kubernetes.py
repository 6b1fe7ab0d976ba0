"""The Kubernetes manifests, held against Kubernetes' schemas and a server; not a cluster."""

from __future__ import annotations

import functools
import re
import shutil
import tomllib
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from natkit.cli.turn import serve
from natkit.tools.relay_config import read_config
from natkit.tools.relay_options import parse_listen
from tests.cli.test_turn import serving
from tests.kubernetes import PARTS, Object, Pod, built, combinations, pod_of

# Debian has none that knows components, so it is not asked of CI either.
pytestmark = pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")

RULES = yaml.safe_load((PARTS / "deployment" / "prometheus-adapter.yaml").read_text())
FEW = pytest.mark.parametrize("parts", [("daemonset",), ("deployment", "one-to-one-nat")], ids=str)


@pytest.fixture(scope="module", autouse=True)
def schemas_are_read_once() -> Iterator[None]:
    """The package reads megabytes of definitions for each object."""
    with pytest.MonkeyPatch.context() as patched:
        read = functools.cache(kubernetes_validate.utils.schema_contents)
        patched.setattr(kubernetes_validate.utils, "schema_contents", read)
        yield


@pytest.mark.parametrize("parts", combinations(), ids=str)
def test_what_is_built_is_what_kubernetes_takes(parts: tuple[str, ...]):
    objects = built(*parts)
    assert ("HorizontalPodAutoscaler" in objects) == (parts[0] == "deployment")
    for one in objects.values():
        kubernetes_validate.validate(one, "1.37", strict=True)
        assert one["kind"] == "Namespace" or one["metadata"]["namespace"] == "turn"


def test_a_word_that_kubernetes_does_not_know_is_refused():
    pod = built("daemonset")["DaemonSet"]
    pod["spec"]["template"]["spec"]["hostNetworks"] = True
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(pod, "1.37", strict=True)


@pytest.mark.parametrize("parts", combinations(), ids=str)
def test_every_container_has_the_image_that_the_owner_names(parts: tuple[str, ...]):
    spec = pod_of(built(*parts))["spec"]
    images = {one["image"] for one in (*spec["containers"], *spec.get("initContainers", []))}
    assert images == {"registry.example.org/natkit-turn:0.1.0"}


@pytest.mark.parametrize("parts", combinations(), ids=str)
def test_every_option_of_a_pod_is_one_that_the_server_has(parts: tuple[str, ...]):
    [container] = pod_of(built(*parts))["spec"]["containers"]
    known = {option for parameter in serve.params for option in parameter.opts}
    assert {word.partition("=")[0] for word in container["args"]} <= known


@FEW
def test_what_selects_pods_finds_them(parts: tuple[str, ...]):
    objects = built(*parts)
    labels = pod_of(objects)["metadata"]["labels"].items()
    server = objects["Deployment" if parts[0] == "deployment" else "DaemonSet"]
    assert server["spec"]["selector"]["matchLabels"].items() <= labels
    assert objects["Service"]["spec"]["selector"].items() <= labels
    if "HorizontalPodAutoscaler" in objects:
        target = objects["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]
        assert (target["kind"], target["name"]) == (server["kind"], server["metadata"]["name"])
        assert objects["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"].items() <= labels


def configuration(objects: dict[str, Object]) -> dict[str, object]:
    return tomllib.loads(objects["ConfigMap"]["data"]["turn.toml"])


def test_a_pod_may_live_for_as_long_as_it_drains():
    objects = built("daemonset")
    config = read_config(configuration(objects), {"secret": "of-its-own"})
    spec = pod_of(objects)["spec"]
    [container] = spec["containers"]
    command, seconds = container["lifecycle"]["preStop"]["exec"]["command"]
    assert command == "sleep"
    assert int(seconds) + config.drain + 20 <= spec["terminationGracePeriodSeconds"]
    assert spec["terminationGracePeriodSeconds"] <= 600  # as long as Cluster Autoscaler waits


def test_ports_are_those_that_the_server_listens_on():
    objects = built("daemonset")
    config = read_config(configuration(objects), {"secret": "of-its-own"})
    [container] = pod_of(objects)["spec"]["containers"]
    listening = {(one.transport.name, one.address.port) for one in config.listen}
    [metrics] = [word for word in container["args"] if word.startswith("--metrics=")]
    there = parse_listen(metrics.replace("--metrics=$(HOST_IP)", "tcp://0.0.0.0"))
    declared = {(p["protocol"], p["containerPort"]) for p in container["ports"]}
    assert declared == listening | {("TCP", there.address.port)}
    assert all(p["hostPort"] == p["containerPort"] for p in container["ports"])
    offered = {(p["protocol"], p["port"]) for p in objects["Service"]["spec"]["ports"]}
    assert offered == listening
    scraped = pod_of(objects)["metadata"]["annotations"]["prometheus.io/port"]
    assert int(scraped) == there.address.port


def fetch(url: str) -> tuple[int, str]:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return answer.status, answer.read().decode()


def test_the_secret_of_the_example_starts_no_server(tmp_path: Path):
    pod = Pod.of(built("daemonset"), tmp_path, "change-me: openssl rand -hex 32")
    with pod.running() as (process, first):
        assert first == ""
        assert process.stderr is not None
        assert "the secret is that of the example" in process.stderr.read()


@pytest.mark.slow
@pytest.mark.parametrize("server", ["daemonset", "deployment"])
def test_a_pod_runs_and_answers_its_probes_and_has_the_metrics_that_are_asked_for(
    tmp_path: Path, server: str
):
    pod = Pod.of(built(server, "one-to-one-nat"), tmp_path, "of-its-own")
    elsewhere = ("--listen", "udp://127.0.0.1:0", "--user", "a:b", "--metrics", "off")
    with serving(*elsewhere) as (_, ready):
        found = re.search(r"turn:(\S+)\?transport=udp", ready)
        assert found is not None
        pod.prepare(f"stun:{found[1]}")
    with pod.running() as (process, first):
        assert first.startswith("ready turn:"), process.stderr and process.stderr.read()
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            assert fetch(pod.url(pod.container[probe]))[0] == 200
        path = pod_of(pod.objects)["metadata"]["annotations"]["prometheus.io/path"]
        metrics = fetch(f"http://127.0.0.1:{pod.ports['9641']}{path}")[1]
        for rule in RULES["rules"]["custom"]:
            name = rule["seriesQuery"].partition("{")[0]
            assert re.search(rf"^{name}\{{", metrics, re.M), name
        process.terminate()
        assert process.wait(10) == 0


def test_the_autoscaler_goes_by_metrics_that_the_adapter_makes():
    scaler = built("deployment")["HorizontalPodAutoscaler"]
    wanted = {one["pods"]["metric"]["name"] for one in scaler["spec"]["metrics"]}
    made = {
        rule.get("name", {}).get("as", rule["seriesQuery"].partition("{")[0])
        for rule in RULES["rules"]["custom"]
    }
    assert wanted == made


def test_only_the_fast_path_takes_capabilities_or_root():
    for parts in combinations():
        pod = pod_of(built(*parts))["spec"]
        [container] = pod["containers"]
        security = {**pod["securityContext"], **container["securityContext"]}
        fast = "fast-path" in parts
        assert security["capabilities"]["drop"] == ["ALL"]
        assert ("add" in security["capabilities"], security["runAsUser"] == 0) == (fast, fast)
        assert security["readOnlyRootFilesystem"]
        assert not security["allowPrivilegeEscalation"]
