"""The same sweep with every launcher: the rows are the same, bit for bit."""

import os
import subprocess
import sys
import time

import numba
import pandas as pd
import psutil
import pytest
import torch
from conftest import ROOT, TINY, numbers_of
from ray_cluster import kill, processes, ray_cluster
from slurm_cluster import one_node_slurm, slurm_missing

from swis.experiments.config import load
from swis.experiments.run import run

SWEEP = ["--multirun", "methods=[round,uniform]", "bits=2,3", "threads=1", "device=cpu", "versus=[stripes]"]


@pytest.fixture(scope="module")
def expected(tiny_checkpoint, tmp_path_factory):
    """Return the rows that a single process computes, with the points in order."""
    folder = tmp_path_factory.mktemp("expected")
    compute(tiny_checkpoint, folder)
    return numbers_of(folder / "runs")


def compute(checkpoint, folder) -> None:
    """Compute the points in this process, one by one."""
    for bits in (2, 3):
        overrides = [text for text in SWEEP[1:] if not text.startswith("bits=")]
        run(load([*overrides, *settings(checkpoint, folder), f"bits={bits}"]), "run.py")


def settings(checkpoint, folder) -> list[str]:
    made = ["model=timm", f"model.name={TINY}", f"model.weights={checkpoint}"]
    return [
        *made,
        "data.limit=32",
        "data.workers=0",
        "calibration.images=16",
        f"results_dir={folder / 'runs'}",
    ]


def sweep(checkpoint, folder, *more, environment=os.environ) -> subprocess.CompletedProcess:
    return ended(start(checkpoint, folder, *more, environment=environment))


def ended(running: subprocess.Popen) -> subprocess.CompletedProcess:
    out, err = running.communicate(timeout=300)
    return subprocess.CompletedProcess(running.args, running.returncode, out, err)


def start(checkpoint, folder, *more, environment=os.environ) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, ROOT / "run.py", *SWEEP, *settings(checkpoint, folder), *more],
        cwd=folder,
        env={**environment, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def check(done, folder, expected):
    assert done.returncode == 0, done.stderr
    assert "6 rows of 2 points" in done.stdout
    assert "6 computed, 0 existed before, 0 failed" in done.stdout
    pd.testing.assert_frame_equal(numbers_of(folder / "runs"), expected, check_exact=True)
    assert len(list((folder / "outputs").rglob("*.log"))) == 2


def test_threads_limits_torch_and_numba(tmp_path, one_thread):
    torch.set_num_threads(2)
    compiled = numba.get_num_threads()
    run(load(["threads=1", "dry_run=true", f"results_dir={tmp_path}"]))
    assert (torch.get_num_threads(), numba.get_num_threads()) == (1, 1)
    numba.set_num_threads(compiled)


def test_joblib(tiny_checkpoint, tmp_path, expected):
    done = sweep(tiny_checkpoint, tmp_path, "launch=joblib", "hydra.launcher.n_jobs=2", "bits=3,2")
    check(done, tmp_path, expected)


def test_submitit_s_own_processes(tiny_checkpoint, tmp_path, expected):
    local = ["hydra/launcher=submitit_local", "hydra.launcher.timeout_min=5"]
    check(sweep(tiny_checkpoint, tmp_path, *local), tmp_path, expected)


def test_slurm(tiny_checkpoint, tmp_path, tmp_path_factory, expected):
    if reason := slurm_missing():
        pytest.skip(reason)
    with one_node_slurm(tmp_path_factory.mktemp("slurm")) as environment:
        done = sweep(tiny_checkpoint, tmp_path, "launch=slurm", "threads=1", environment=environment)
        check(done, tmp_path, expected)


def test_ray_with_the_loss_of_a_node(tiny_checkpoint, tmp_path, expected):
    packages = ROOT / ".ray"
    if not packages.is_dir():
        pytest.skip("needs Ray (make ray)")
    with ray_cluster(packages, nodes=2) as cluster:
        environment = {**cluster.environment, "RAY_ADDRESS": cluster.address}
        running = start(tiny_checkpoint, tmp_path, "launch=ray", environment=environment)
        while len(list(tmp_path.rglob("*.log"))) < 2:  # until both nodes have started a point
            assert running.poll() is None
            time.sleep(0.05)
        kill(cluster.nodes[0])
        done = ended(running)
    assert not any(map(processes, [cluster.head, *cluster.nodes]))
    check(done, tmp_path, expected)
    logs = [path.read_text().splitlines() for path in tmp_path.rglob("*.log")]
    assert sum(log.count(log[0]) for log in logs) > 2  # the point of the lost node was started again


def test_a_killed_worker_ends_the_sweep_with_one_line_and_the_next_run_continues(
    tiny_checkpoint, tmp_path, expected
):
    running = start(tiny_checkpoint, tmp_path, "launch=joblib", "hydra.launcher.n_jobs=2")
    while not list(tmp_path.rglob("*.log")):  # until a worker has started a point
        assert running.poll() is None
        time.sleep(0.05)
    for process in psutil.Process(running.pid).children(recursive=True):
        if "loky.backend.popen" in " ".join(process.cmdline()):
            process.kill()
    done = ended(running)
    assert done.returncode == 1, done.stdout
    assert "the launcher stopped: TerminatedWorkerError" in done.stderr
    assert "rows are missing; run the same command again" in done.stderr
    compute(tiny_checkpoint, tmp_path)
    pd.testing.assert_frame_equal(numbers_of(tmp_path / "runs"), expected, check_exact=True)
