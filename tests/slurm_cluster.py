"""A Slurm cluster of one node with all its files in one folder, for tests of sweeps."""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

# The daemons are in sbin, which may be missing in the PATH of an ordinary user.
_PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin"])
_PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "sinfo", "squeue", "setpriv")
_SECONDS = 30  # limit of the start-up, which takes about one second

# There are no cgroups, no binding to cores, no accounting and no mail, so that the cluster runs in a
# container and as any user. The node has the resources in this file, whatever the daemon detects
# (config_overrides). Jobs start at once (batch_sched_delay), are refused if they can never start
# (EnforcePartLimits), and have no limit of memory (CR_CPU).
_CONF = """\
ClusterName=one
SlurmctldHost={node}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
MailProg=/bin/true
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=batch_sched_delay=0
SlurmdParameters=config_overrides
EnforcePartLimits=ALL
KillWait=2
NodeName={node} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory={megabytes}
PartitionName=main Nodes={node} Default=YES MaxTime=INFINITE State=UP
"""

# submitit asks sacct for the state of a job without a result, and waits for ever without an answer. There is
# no accounting database here, but the controller remembers a job for some minutes after its end.
_SACCT = """\
#!/bin/sh
echo 'JobID|State|NodeList'
exec squeue --noheader --array --states=all --format='%i|%T|%N'
"""


class SlurmError(RuntimeError):
    """The cluster did not start; the message has the reason."""


def slurm_missing() -> str | None:
    """Return the reason why no cluster can be started here, or None."""
    missing = [name for name in _PROGRAMS if not shutil.which(name, path=_PATH)]
    return f"needs Slurm and MUNGE ({', '.join(missing)} not found)" if missing else None


@contextmanager
def one_node_slurm(folder: Path) -> Iterator[dict[str, str]]:
    """Run a cluster with all files in an empty folder; yield the environment for its commands."""
    if reason := slurm_missing():
        raise SlurmError(reason)
    folder = folder.resolve()
    environment = _write_files(folder)
    daemons: dict[str, subprocess.Popen] = {}
    try:
        munged = ["munged", "--foreground", "--force"]  # --force: munged refuses a folder with other owners
        munged += [f"--{name}-file={folder}/munge.{name}" for name in ("key", "pid", "log", "seed")]
        daemons["munged"] = _start([*munged, f"--socket={folder}/munge.socket"], folder, environment)
        _wait(folder, daemons, (folder / "munge.socket").exists)
        for name in ("slurmctld", "slurmd"):
            daemons[name] = _start([name, "-D"], folder, environment)
        _wait(folder, daemons, lambda: _state(environment) == "idle")
        yield environment
    finally:
        _kill(folder)
        for daemon in daemons.values():
            daemon.wait()


def _write_files(folder: Path) -> dict[str, str]:
    """Write the files of the daemons, and return the environment for them and for commands."""
    node = socket.gethostname().split(".")[0]
    if len(f"{folder}/spool/{node}_1000.4294967291") > 107:  # the limit of a socket's path
        raise SlurmError(f"the path {folder} is too long for sockets")
    for name in ("state", "spool", "bin"):
        (folder / name).mkdir(parents=True)
    key = folder / "munge.key"
    key.touch(0o600)
    key.write_bytes(os.urandom(128))
    sacct = folder / "bin" / "sacct"
    sacct.write_text(_SACCT)
    sacct.chmod(0o755)
    conf = folder / "slurm.conf"
    conf.write_text(
        _CONF.format(
            folder=folder,
            node=node,
            ports=_free_ports(2),
            user=os.geteuid(),
            cpus=os.cpu_count(),
            megabytes=os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2**21,  # half of the memory
        )
    )
    # the tests may run in a job of another cluster, whose variables must not be inherited
    other = ("SLURM", "SBATCH", "SRUN", "SINFO", "SQUEUE")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(other)}
    return kept | {"SLURM_CONF": str(conf), "PATH": f"{folder}/bin{os.pathsep}{_PATH}"}


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def _start(command: list[str], folder: Path, environment: dict[str, str]) -> subprocess.Popen:
    """Start a daemon that ends with this process and does not get its Ctrl-C."""
    with (folder / f"{command[0]}.out").open("wb") as out:
        return subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", *command],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _state(environment: dict[str, str]) -> str:
    """Return the state of the node according to sinfo; empty if the controller does not answer."""
    try:
        command = ["sinfo", "--noheader", "--format=%T"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=5)
    except subprocess.TimeoutExpired:
        return ""
    return done.stdout.strip()


def _wait(folder: Path, daemons: dict[str, subprocess.Popen], ready: Callable[[], bool]) -> None:
    """Wait until ``ready`` is true; raise ``SlurmError`` with the ends of the logs if that fails."""
    end = time.monotonic() + _SECONDS
    while not ready():
        stopped = [name for name, daemon in daemons.items() if daemon.poll() is not None]
        if not stopped and time.monotonic() < end:
            time.sleep(0.1)
            continue
        problem = f"{', '.join(stopped)} stopped" if stopped else f"not ready after {_SECONDS} s"
        logs = [f"{name}: {line}" for name in stopped or daemons for line in _tail(folder / f"{name}.out")]
        raise SlurmError("\n".join([problem, *logs]))


def _tail(path: Path) -> list[str]:
    return path.read_text(errors="replace").splitlines()[-10:]


def _kill(folder: Path) -> None:
    """Kill the daemons, the jobs and the processes that they start meanwhile, until none is left."""
    while processes := _processes(folder):
        for process in processes:
            with suppress(ProcessLookupError):  # it has ended
                os.kill(process, signal.SIGKILL)
        time.sleep(0.1)


def _processes(folder: Path) -> set[int]:
    """Return the processes with the cluster's environment or open files, and all their child processes."""
    parents: dict[int, int] = {}
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended, or belongs to another user
            parents[int(process.name)] = int((process / "stat").read_text().rpartition(")")[2].split()[1])
            if _belongs(process, folder):
                found.add(int(process.name))
    found.discard(os.getpid())
    while more := {process for process, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def _belongs(process: Path, folder: Path) -> bool:
    if f"SLURM_CONF={folder}/slurm.conf".encode() in (process / "environ").read_bytes().split(b"\0"):
        return True
    for file in (process / "fd").iterdir():  # the steps of jobs have cleared their environment
        with suppress(OSError):
            if file.readlink().is_relative_to(folder):
                return True
    return False
