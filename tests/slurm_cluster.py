"""A Slurm cluster of one node, private to a folder, for tests of sweeps."""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

# The daemons are in sbin, which the PATH of a plain user may lack.
_PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin"])
_PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "sinfo", "squeue", "setpriv")
_SECONDS = 30  # to start in; it takes about one

# No cgroups, no binding to cores, no accounting and no mail, so that it runs inside a container and as any
# user. The node is what this file says, whatever the daemon finds (config_overrides). Jobs start at once
# (batch_sched_delay), are refused rather than left waiting if they can never start (EnforcePartLimits), and
# share the memory as they like (CR_CPU).
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

# submitit asks sacct what became of a job that left no result, and waits for ever without an answer. There
# is no accounting database here, but the controller remembers a job for some minutes after its end.
_SACCT = """\
#!/bin/sh
echo 'JobID|State|NodeList'
exec squeue --noheader --array --states=all --format='%i|%T|%N'
"""


class SlurmError(RuntimeError):
    """Why the cluster did not start."""


def slurm_missing() -> str | None:
    """Why no cluster can be started here, or nothing."""
    missing = [name for name in _PROGRAMS if not shutil.which(name, path=_PATH)]
    return f"needs Slurm and MUNGE ({', '.join(missing)} not found)" if missing else None


@contextmanager
def one_node_slurm(folder: Path) -> Iterator[dict[str, str]]:
    """Run a cluster whose files are all in an empty folder; yield the environment of its commands."""
    if reason := slurm_missing():
        raise SlurmError(reason)
    folder = folder.resolve()
    environment = _write_files(folder)
    daemons: dict[str, subprocess.Popen] = {}
    try:
        munged = ["munged", "--foreground", "--force"]  # --force: others may be unable to enter the folder
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
    """Write what the daemons read, and return the environment to start them and their commands in."""
    node = socket.gethostname().split(".")[0]
    if len(f"{folder}/spool/{node}_1000.4294967291") > 107:  # the socket of a job's step
        raise SlurmError(f"the name of {folder} is too long for the sockets in it")
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
            megabytes=os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2**21,  # half of it
        )
    )
    # the tests may themselves run in a job of another cluster, or where one has defaults
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
    """Start a daemon that dies with this process, and that Ctrl-C reaches only through this process."""
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
    """What sinfo says of the node, or nothing while the controller does not answer."""
    try:
        command = ["sinfo", "--noheader", "--format=%T"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=5)
    except subprocess.TimeoutExpired:
        return ""
    return done.stdout.strip()


def _wait(folder: Path, daemons: dict[str, subprocess.Popen], ready: Callable[[], bool]) -> None:
    """Wait until something is ready, or raise with the ends of the logs."""
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
    """Kill the daemons and the jobs, and what they start meanwhile, until none is left."""
    while processes := _processes(folder):
        for process in processes:
            with suppress(ProcessLookupError):  # it has ended
                os.kill(process, signal.SIGKILL)
        time.sleep(0.1)


def _processes(folder: Path) -> set[int]:
    """The processes that were told of the cluster or have a file of it open, with all that they started."""
    parents: dict[int, int] = {}
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended, or is another user's
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
    for file in (process / "fd").iterdir():  # the steps of jobs wipe their environment
        with suppress(OSError):
            if file.readlink().is_relative_to(folder):
                return True
    return False
