"""The Kubernetes manifests as `kubectl kustomize` builds them, and a pod as a process here."""

from __future__ import annotations

import base64
import contextlib
import functools
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.ports import free_port

PARTS = Path(__file__).parent.parent / "packaging" / "kubernetes"
SERVERS = ("daemonset", "deployment")
COMPONENTS = ("fast-path", "one-to-one-nat")

Object = dict[str, Any]


def built(server: str, *components: str) -> dict[str, Object]:
    """Return the objects of the example with another server and components, by kind."""
    objects = list(yaml.safe_load_all(_text(server, *components)))
    by_kind = {one["kind"]: one for one in objects}
    assert len(by_kind) == len(objects)
    return by_kind


@functools.cache
def _text(server: str, *components: str) -> str:
    with tempfile.TemporaryDirectory() as there:
        copy = Path(there) / "kubernetes"
        shutil.copytree(PARTS, copy)
        example = copy / "example" / "kustomization.yaml"
        wanted = yaml.safe_load(example.read_text())
        wanted["resources"][wanted["resources"].index("../daemonset")] = f"../{server}"
        wanted["components"] = [f"../{component}" for component in components]
        example.write_text(yaml.safe_dump(wanted))
        argv = ["kubectl", "kustomize", str(copy / "example")]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def pod_of(objects: dict[str, Object]) -> Object:
    """Return the template of the pods."""
    [server] = [objects[kind] for kind in ("DaemonSet", "Deployment") if kind in objects]
    return server["spec"]["template"]


@dataclass
class Pod:
    """What a pod of `objects` is run with on this machine.

    Attributes:
        volumes: a folder for each path that something is mounted at.
        ports:   one of this machine's for each that the manifests name.
    """

    objects: dict[str, Object]
    volumes: dict[str, Path]
    ports: dict[str, str]

    @classmethod
    def of(cls, objects: dict[str, Object], where: Path, secret: str) -> Pod:
        """Lay out the volumes, as the kubelet does, with a secret that is the owner's."""
        ports = {"3478": str(free_port()), "9641": str(free_port())}
        pod = cls(objects, {}, ports)
        for mount in pod.container["volumeMounts"]:
            folder = where / mount["name"]
            folder.mkdir(parents=True)
            pod.volumes[mount["mountPath"]] = folder
            for name, text in pod._content(mount["name"]).items():
                text = text.replace("change-me: openssl rand -hex 32", secret)
                (folder / name).write_text(pod.here(text))
        return pod

    @property
    def container(self) -> Object:
        [container] = pod_of(self.objects)["spec"]["containers"]
        return container

    def _content(self, volume: str) -> dict[str, str]:
        [source] = [v for v in pod_of(self.objects)["spec"]["volumes"] if v["name"] == volume]
        if "configMap" in source:
            return self.objects["ConfigMap"]["data"]
        if "secret" in source:
            data = self.objects["Secret"]["data"]
            return {name: base64.b64decode(text).decode() for name, text in data.items()}
        return {}

    def here(self, text: str) -> str:
        """Return a word of the manifests with this machine's paths, ports and address."""
        for path, folder in self.volumes.items():
            text = text.replace(path, str(folder))
        for port, ours in self.ports.items():
            text = text.replace(port, ours)
        return text.replace("$(HOST_IP)", "127.0.0.1")

    def prepare(self, stun_server: str) -> None:
        """Run the containers that come before the server, except those that change the node."""
        for one in pod_of(self.objects)["spec"].get("initContainers", []):
            if not one["securityContext"].get("privileged"):
                subprocess.run(
                    [self.here(word) for word in one["command"]],
                    env=_environment(STUN_SERVER=stun_server),
                    check=True,
                    timeout=60,
                )

    @contextlib.contextmanager
    def running(self) -> Iterator[tuple[subprocess.Popen[str], str]]:
        """Run the server; gives its process and its first line."""
        argv = [
            sys.executable,
            "-m",
            "natkit",
            "turn",
            "serve",
            *map(self.here, self.container["args"]),
        ]
        process = subprocess.Popen(
            argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=_environment()
        )
        assert process.stdout is not None
        try:
            yield process, process.stdout.readline()
        finally:
            process.kill()
            process.communicate(timeout=10)

    def url(self, probe: Object) -> str:
        """Return what a probe asks."""
        asked = probe["httpGet"]
        [port] = [p for p in self.container["ports"] if p["name"] == asked["port"]]
        return f"http://127.0.0.1:{self.here(str(port['containerPort']))}{asked['path']}"


def _environment(**more: str) -> dict[str, str]:
    """In the image, `natkit` and `python` are where ours are here."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "PYTHONUNBUFFERED": "1", **more}


def combinations() -> list[Sequence[str]]:
    """Return every server with no component, each one, and all."""
    return [
        (server, *components)
        for server in SERVERS
        for components in ((), *((one,) for one in COMPONENTS), COMPONENTS)
    ]
