"""Other tools, measured by benchmarks/peers.py: a small tool stands in for them."""

import shutil
import sys
from importlib import import_module

import pandas as pd
import pytest
from conftest import ROOT

from swis.errors import InputError
from swis.experiments import study

# A tool that rounds weights to a number of bits, and has a way to refuse, to fail and to count its runs.
TOOL = """
import torch
from job import Job, Made, Refused, answer

def rounded(job):
    if job.bits == 3:
        raise Refused("no weights of 3 bits")
    if job.bits == 5:
        raise ValueError("first line\\nno weights of 5 bits")
    stored = 0
    for layer in job.layers.values():
        step = layer.weight.abs().max() / (2 ** (job.bits - 1) - 1)
        layer.weight.data = (layer.weight / step).round() * step * job.options["gain"]
        stored += job.bits * layer.weight.numel()
    return Made(job.network, {"images": len(job.calibration), **job.options}, stored)

answer("torch", rounded)
"""


@pytest.fixture
def peers(monkeypatch, tmp_path):
    """The benchmark with the stand-in as its only tool, whose environment is that of the tests."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    module, known = import_module("peers"), import_module("peer_cases")
    scripts = tmp_path / "scripts"
    shutil.copytree(module.SCRIPTS, scripts)
    (scripts / "run_rounding.py").write_text(TOOL)
    (scripts / "rounding.txt").write_text("rounding==1.0\n")
    monkeypatch.setattr(module, "SCRIPTS", scripts)
    monkeypatch.setattr(known, "SCRIPTS", scripts)
    monkeypatch.setattr(known, "TOOLS", {"rounding": {"nearest": {"gain": 1.0}}})
    monkeypatch.setattr(known, "PACKAGES", {"rounding": "rounding"})
    monkeypatch.setattr(module, "environment", lambda tool, folder: sys.executable)
    return module


@pytest.fixture
def few(tiny, monkeypatch):
    """The tiny network with 48 images in each split: 32 to calibrate on, and 24 to measure on."""
    real = study.drawn

    def drawn(data, name, count, seed, decode=True):
        return real(data, name, 48, 0, decode).sample(count, seed)

    monkeypatch.setattr(study, "drawn", drawn)
    return [*tiny, "data.limit=24"]


@pytest.fixture
def run(peers, few, tmp_path):
    """Run the benchmark, and return its exit status and its rows by bits."""

    def measured(*more):
        out = tmp_path / "peers.csv"
        own = ["tools=rounding", f"out={out}", f"folder={tmp_path / 'folder'}"]
        status = peers.main([*few, *own, *more])
        return status, pd.read_csv(out).set_index("bits")

    return measured


def test_a_tool_gets_scores_like_our_own_formats(run):
    status, rows = run("bits=8,2")
    assert status == 0
    assert (rows["status"] == "ok").all()
    fine, coarse = rows.loc[8], rows.loc[2]
    assert (fine["images"], fine["calibration_images"], fine["held_out_images"]) == (24, 32, 16)
    assert fine["agreement"] >= coarse["agreement"]
    assert fine["kl"] < coarse["kl"]
    assert fine["held_out_kl"] < coarse["held_out_kl"]
    assert fine["logit_sqnr_db"] > coarse["logit_sqnr_db"]
    assert fine["top1_low"] <= fine["top1"] <= fine["top1_high"]
    assert (fine["weight_bits"], coarse["weight_bits"]) == (8, 2)
    known = ["version", "settings", "git_commit", "packages", "machine", "created", "seed", "seconds"]
    assert rows[known].notna().all().all()


def test_rows_are_found_again_and_the_others_are_kept(run, peers, monkeypatch):
    started = []

    def answered(case, *_):
        started.append((case.bits, case.options["gain"]))
        return {"status": "refused", "error": "busy"}

    monkeypatch.setattr(peers, "answered", answered)
    run("bits=8")
    _, rows = run("bits=4")
    assert set(rows.index) == {4, 8}
    run("bits=8,4")
    assert started == [(8, 1), (4, 1)]
    run("bits=8", "force=true")
    run("bits=4", "rounding.gain=0.5")  # another option, or another seed, is another row
    _, rows = run("bits=4", "seed=1")
    assert started[2:] == [(8, 1), (4, 0.5), (4, 1)]
    assert rows.index.value_counts().to_dict() == {4: 3, 8: 1}


def test_an_answer_that_is_there_is_not_asked_for_again(run, tmp_path):
    run("bits=8")
    (tmp_path / "peers.csv").unlink()
    (tmp_path / "scripts" / "run_rounding.py").write_text("raise SystemExit('asked again')")
    assert run("bits=8")[1].loc[8, "status"] == "ok"


def test_a_tool_that_is_killed_leaves_no_row(run, tmp_path):
    (tmp_path / "scripts" / "run_rounding.py").write_text("import os\n\nos.kill(os.getpid(), 9)\n")
    with pytest.raises(InputError, match="rounding was killed by signal 9"):
        run("bits=8")
    assert not (tmp_path / "peers.csv").exists()


def test_a_refusal_and_a_failure_are_rows_with_a_reason(run):
    status, rows = run("bits=3,5")
    assert status == 1  # a refusal is an answer
    assert rows.loc[3, ["status", "error"]].tolist() == ["refused", "no weights of 3 bits"]
    assert rows.loc[5, ["status", "error"]].tolist() == ["failed", "no weights of 5 bits"]


@pytest.mark.parametrize(
    "argument, line",
    [
        ("tools=other", "there is no tool 'other'; known are rounding"),
        ("tools=rounding/best", "rounding has no recipe 'best'; it has nearest"),
        ("bits=four", "rounding with bits=four: invalid literal"),
        ("rounding.gain=much", "rounding with bits=4: could not convert"),
        ("rounding.loss=1", "rounding.loss is not an option; known are"),
        ("activation_bits=null", "give activation_bits"),
    ],
)
def test_bad_input_is_one_line(run, argument, line):
    with pytest.raises(InputError, match=line):
        run(argument)


def test_every_tool_has_a_script_and_pins():
    known = sorted((ROOT / "benchmarks" / "peer_tools").glob("run_*.py"))
    assert [path.stem for path in known] == ["run_aimet", "run_brevitas", "run_nncf", "run_quanto"]
    for path in known:
        pins = path.with_name(f"{path.stem.removeprefix('run_')}.txt").read_text().splitlines()
        assert pins
        assert all(line.count("==") == 1 and " " not in line for line in pins)
