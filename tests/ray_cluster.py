"""A Ray cluster of processes on this machine: a head without cores, and nodes of one core each."""

import os
import secrets
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

OPTIONS = (
    "--object-store-memory=80000000",  # the minimum of Ray
    *("--min-worker-port=0", "--max-worker-port=0", "--dashboard-agent-listen-port=0"),  # any free ports
    *("--include-log-monitor=false", "--disable-usage-stats"),
)


def processes(session: int) -> list[int]:
    """Return the living processes of a session; every Ray worker is a process group of its own."""
    living = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(FileNotFoundError, ProcessLookupError):  # it has ended
            state, _, _, its_session = stat.read_text().rpartition(")")[2].split()[:4]
            if int(its_session) == session and state != "Z":
                living.append(int(stat.parent.name))
    return living


def kill(session: int) -> None:
    """Kill a node and all its processes, as if its machine were lost."""
    while living := processes(session):
        for process in living:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)


@dataclass
class Cluster:
    """The address of a cluster, the environment of its programs, and the sessions of its head and nodes."""

    address: str
    environment: dict[str, str]
    head: int
    nodes: list[int]


@contextmanager
def ray_cluster(packages: Path, nodes: int) -> Iterator[Cluster]:
    """Yield a cluster that runs the Ray in the folder ``packages``; always end all its processes."""
    started: list[subprocess.Popen] = []
    # Ray's sockets are in this folder, and their paths must be short
    with tempfile.TemporaryDirectory(prefix="ray", dir="/tmp", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        # without this, jsonschema imports the real module, which takes every process of Ray seconds
        (folder / "rfc3987_syntax.py").write_text("raise ImportError")
        paths = [name, str(packages), *filter(None, [os.environ.get("PYTHONPATH")])]
        token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex()}  # its ports are open to all
        environment = {**os.environ, **token, "PYTHONPATH": os.pathsep.join(paths)}

        def start(*options: str) -> subprocess.Popen:
            # every node has its own address and folder, like another machine; Ray would replace 127.0.0.1
            number = len(started) + 2
            own = [f"--node-ip-address=127.0.0.{number}", f"--temp-dir={folder / str(number)}"]
            command = [sys.executable, "-m", "ray.scripts.scripts", "start", *own, *OPTIONS, *options]
            with (folder / f"{number}.log").open("w") as log:
                settings = {"cwd": folder, "env": environment, "start_new_session": True}
                started.append(subprocess.Popen(command, stdout=log, stderr=log, **settings))
            return started[-1]

        def wait(node: subprocess.Popen) -> None:
            if node.wait(timeout=60):
                raise RuntimeError("\n".join(log.read_text() for log in folder.glob("*.log")))

        try:
            wait(start("--head", "--port=0", "--num-cpus=0", "--include-dashboard=false", "--no-monitor"))
            address = (folder / "2" / "ray_current_cluster").read_text().strip()
            for node in [start(f"--address={address}", "--num-cpus=1") for _ in range(nodes)]:
                wait(node)
            head, *others = [node.pid for node in started]
            yield Cluster(address, environment, head, others)
        finally:
            for node in started:
                kill(node.pid)
