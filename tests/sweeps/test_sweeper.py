"""Sweeps: every missing row is computed once, and failures are reported."""

import pickle
import signal
import time

import pandas as pd
import pytest
from conftest import computed_methods, numbers_of

import swis
import swis.experiments.naming
from swis.errors import DamagedImage, InputError, RunFailed
from swis.experiments.pending import Point
from swis.sweeps.report import Launched, outcome

SWEEP = ["--multirun", "methods=[round]", "bits=2,3"]


def test_a_sweep_reports_its_rows_and_the_next_one_computes_none(command_line, tiny, monkeypatch):
    done = command_line(*SWEEP, *tiny, terminal=True)
    assert done.status == 0, done.err
    assert "4 rows of 2 points" in done.out
    assert "4 computed, 0 existed before, 0 failed" in done.out
    assert "\nbits=3" in done.out
    assert "rows: 100%" in done.err
    computed = computed_methods(monkeypatch)
    again = command_line(*SWEEP, *tiny)
    assert "0 computed, 4 existed before, 0 failed" in again.out
    assert not computed


def test_a_sweep_computes_only_missing_rows(command_line, tiny, tmp_path, monkeypatch):
    command_line(*SWEEP, *tiny)
    whole = numbers_of(tmp_path / "runs")
    lost = whole.query("bits == 3")["key"].item()
    (tmp_path / "runs" / f"{lost}.parquet").unlink()
    computed = computed_methods(monkeypatch)
    assert "1 computed, 3 existed before" in command_line(*SWEEP, *tiny).out
    assert computed == ["round"]
    pd.testing.assert_frame_equal(numbers_of(tmp_path / "runs"), whole, check_exact=True)


def test_a_dry_run_lists_rows_and_computes_none(command_line, tiny, monkeypatch):
    computed = computed_methods(monkeypatch)
    done = command_line(*SWEEP, *tiny, "dry_run=true")
    assert done.status == 0, done.err
    assert "bits=2: float to do, int8 to do, round to do" in done.out
    assert "4 rows of 2 points: 0 done, 4 to do" in done.out
    assert not computed
    minutes = command_line(*SWEEP, *tiny, "dry_run=true", "minutes=7")
    assert "4 to do; the whole experiment takes about 7 minutes on 2 cores" in minutes.out
    one = command_line(*tiny, "methods=[swis]", "dry_run=true")
    assert one.out == "float to do, int8 to do, swis to do\n"


def test_a_dry_run_creates_no_folder(command_line, tiny, tmp_path):
    assert command_line(*SWEEP, *tiny, "dry_run=true").status == 0
    assert command_line(*tiny, "dry_run=true").status == 0
    assert not (tmp_path / "runs").exists()


def test_a_dry_run_of_a_task_without_rows_is_refused(command_line, tiny):
    done = command_line(*tiny, "task=pack", "out=x.safetensors", "dry_run=true")
    assert done.status == 2
    assert "dry_run=true lists rows of results, but task=pack makes no rows" in done.err


def test_failed_rows_are_all_listed_and_the_others_computed(command_line, tiny, tmp_path, monkeypatch):
    measure = swis.experiments.study.Study.measure

    def break_some(self, fmt, reference):
        if fmt.name == "round":
            raise ZeroDivisionError(f"of {self.config.bits:g} shifts")
        return measure(self, fmt, reference)

    monkeypatch.setattr("swis.experiments.study.Study.measure", break_some)
    done = command_line(*SWEEP, *tiny)
    assert done.status == 1
    for bits in (2, 3):
        assert f"bits={bits} round: ZeroDivisionError: of {bits} shifts" in done.err
    assert "2 computed, 0 existed before, 2 failed" in done.out
    failed = swis.load_table(tmp_path / "runs", "all").query("status == 'failed'")
    assert failed["error"].str.contains("in break_some").all()
    assert [line[:7] for line in done.err.splitlines() if "error: " in line] == ["error: "]
    monkeypatch.setattr("swis.experiments.study.Study.measure", measure)
    assert "2 computed, 2 existed before, 0 failed" in command_line(*SWEEP, *tiny).out


def test_failures_that_replace_no_row_are_reported(command_line, tiny, monkeypatch):
    command_line(*SWEEP, *tiny)
    monkeypatch.setattr("swis.experiments.study.Study.measure", lambda *_: 1 / 0)
    time.sleep(1)  # the times of rows have whole seconds
    forced = command_line(*SWEEP, *tiny, "force=true")
    assert forced.status == 1
    assert "bits=2; bits=3: 3 of 3 rows failed" in forced.err
    assert "4 rows were not computed again" in forced.err
    assert "0 computed, 4 existed before, 0 failed" in forced.out


def test_force_computes_every_row_of_a_sweep_once(command_line, tiny, monkeypatch):
    command_line(*SWEEP, *tiny)
    computed = computed_methods(monkeypatch)
    time.sleep(1)  # the times of rows have whole seconds
    done = command_line(*SWEEP, *tiny, "force=true")
    assert "4 computed, 0 existed before, 0 failed" in done.out
    assert sorted(computed) == ["float", "int8", "round", "round"]


def test_a_row_with_an_impossible_value_fails_and_the_others_are_computed(
    command_line, tiny, tmp_path, monkeypatch
):
    measure = swis.experiments.study.Study.measure

    def impossible(self, fmt, reference):
        columns, logits = measure(self, fmt, reference)
        return columns | ({"top1": 200.0} if fmt.name == "round" else {}), logits

    monkeypatch.setattr("swis.experiments.study.Study.measure", impossible)
    done = command_line(*tiny, "methods=[round,truncate]")
    assert done.status == 1
    rows = swis.load_table(tmp_path / "runs", "all").set_index("method")
    assert rows["status"].to_dict() == {"float": "ok", "int8": "ok", "truncate": "ok", "round": "failed"}
    assert "top1" in rows.at["round", "error"]


def test_refused_points_are_reported_with_failed_ones(command_line, tiny, monkeypatch):
    monkeypatch.setattr("swis.experiments.study.Study.measure", lambda *_: 1 / 0)
    done = command_line("--multirun", *tiny, "methods=[round]", "bits=2,9")
    assert done.status == 1
    assert "bits=2 float: ZeroDivisionError" in done.err
    assert "bits=9: bits (shifts) must be" in done.err
    refused = command_line("--multirun", *tiny, "methods=[round]", "bits=8,9")
    assert refused.status == 2
    assert not refused.out


def test_an_error_in_the_check_of_a_point_does_not_stop_the_others(command_line, tiny, monkeypatch):
    prepare = swis.experiments.naming.prepare

    def break_some(config):
        return 1 / 0 if config.bits == 2 else prepare(config)

    monkeypatch.setattr("swis.experiments.naming.prepare", break_some)
    monkeypatch.setattr("swis.experiments.tasks.evaluate.prepare", break_some)
    done = command_line(*SWEEP, *tiny)
    assert done.status == 1
    assert "bits=2: ZeroDivisionError: division by zero" in done.err
    assert "3 rows of 1 points" in done.out


def test_tables_of_tasks_without_rows_are_planned_and_not_made_twice(command_line, tiny, monkeypatch):
    sweep = [
        "--multirun",
        *tiny,
        "task=simulate",
        "methods=[swis]",
        "versus=[]",
        "out=table_${group_size}.parquet",
    ]
    assert "group_size=4: to do" in command_line(*sweep, "group_size=4,8", "dry_run=true").out
    command_line(*sweep, "group_size=4")
    assert "2 points: 1 done, 1 to do" in command_line(*sweep, "group_size=4,8", "dry_run=true").out
    one = [*sweep[1:], "dry_run=true"]
    assert command_line(*one, "group_size=4").out == "table_4.parquet done\n"
    more = command_line(*sweep, "group_size=4,8", terminal=True)
    assert more.status == 0, more.err
    assert "1 of 2 tables existed before" in more.out
    assert "tables: 100%" in more.err
    assert " 1/1 " in more.err
    elsewhere = command_line(*sweep, "group_size=4,8", "data.workers=1", "threads=1", "dry_run=true")
    assert "2 points: 2 done, 0 to do" in elsewhere.out  # a table does not depend on threads and workers
    assert "\ngroup_size=8\n" in f"\n{more.out}"
    same = command_line(*sweep[:-1], "out=same.parquet", "group_size=4,8")
    assert same.status == 2
    assert "group_size=8: out=same.parquet is also the file of group_size=4" in same.err
    monkeypatch.setattr("swis.experiments.run.run", lambda *_: "trained")
    trains = command_line("--multirun", *tiny, "task=train", "seed=0,1", "recipe.output=./w.safetensors")
    assert "seed=1: recipe.output=./w.safetensors is also the file of seed=0" in trains.err
    other = command_line(*sweep, "group_size=4,8", "alpha=0")
    assert other.status == 2
    assert "out=table_4.parquet exists already; force=true replaces it" in other.err


def test_the_tasks_without_rows_give_their_reports(command_line, tiny, tmp_path):
    done = command_line("--multirun", *tiny, "task=simulate", "methods=[swis]", "bits=2,3", "versus=[]")
    assert done.status == 0, done.err
    assert "bits=2\n" in done.out
    assert "bits=3\n" in done.out


def test_every_point_has_a_log_without_bars(command_line, tiny, tmp_path):
    command_line(*SWEEP, *tiny)
    logs = sorted((tmp_path / "outputs").rglob("*.log"))
    assert [log.name for log in logs] == ["0.log", "1.log"]
    text = logs[1].read_text()
    assert "bits=3" in text
    assert "top-1 %" in text
    assert "\r" not in text
    assert "\x1b" not in text
    assert "\n\n\n" not in text


def test_an_experiment_sweeps_and_the_command_line_overrides_it(command_line, tiny):
    sweep = ["hydra.mode=MULTIRUN", "sweep={bits: '2,3', group_size: '2,4'}", "dry_run=true"]
    done = command_line(*sweep, *tiny, "bits=4")
    assert done.status == 0, done.err
    assert [line.partition(":")[0] for line in done.out.splitlines()[:-1]] == ["group_size=2", "group_size=4"]


def test_experiments_that_sweep_are_not_swept_themselves(command_line, tiny):
    done = command_line("--multirun", "experiment=first_table,storage", "dry_run=true")
    assert done.status == 2
    assert "experiment=storage: this experiment is a sweep itself" in done.err
    both = ["experiment=retrain,retrain_folded", "methods=[swis]"]
    done = command_line("--multirun", *both, *tiny, "bits=2,3", "dry_run=true")
    assert "of 4 points" in done.out


def test_many_rows_are_compacted_at_the_end_of_a_sweep(command_line, tiny, tmp_path, monkeypatch):
    monkeypatch.setattr("swis.results.compaction._MANY", 3)
    command_line(*SWEEP, *tiny)
    assert [path.name[:5] for path in (tmp_path / "runs").glob("*.parquet")] == ["rows-"]
    assert "4 existed before" in command_line(*SWEEP, *tiny).out


def test_an_error_of_another_process_keeps_its_report():
    error = pickle.loads(pickle.dumps(RunFailed("2 rows failed", "the report")))
    assert (str(error), error.report) == ("2 rows failed", "the report")


class Unsendable(Exception):
    def __init__(self, *, text: str):
        super().__init__(text)


def test_an_exception_that_cannot_be_pickled_is_reported_by_its_text(command_line, tiny, monkeypatch):
    def broken(*_):
        raise Unsendable(text="a lost thing")

    monkeypatch.setattr("swis.experiments.run.run", broken)
    done = command_line(*SWEEP, *tiny)
    assert done.status == 1
    assert "RuntimeError: Unsendable: a lost thing" in done.err


def test_the_same_error_of_all_points_is_reported_once(command_line, tiny, monkeypatch):
    done = command_line("--multirun", *tiny, "methods=[round]", "bits=2,3,4", "data.root=/nowhere")
    assert done.status == 2
    assert done.err.count("/nowhere") == 1
    assert "bits=2; bits=3; bits=4: " in done.err
    monkeypatch.setattr("swis.sweeps.report._NAMED", 1)
    done = command_line("--multirun", *tiny, "methods=[round]", "bits=2,3,4", "data.root=/nowhere")
    assert "bits=2: " in done.err
    assert "(and 2 more points)" in done.err


def test_points_go_to_a_launcher_in_batches(command_line, tiny, monkeypatch, tmp_path):
    monkeypatch.setattr("swis.sweeps.sweeper._BATCH", 2)
    done = command_line("--multirun", *tiny, "methods=[round]", "bits=2,3,4", "versus=[]")
    assert "3 points" in done.out
    assert "5 computed, 0 existed before, 0 failed" in done.out
    assert sorted(path.name for path in tmp_path.rglob("*.log")) == ["0.log", "1.log", "2.log"]


def test_an_error_of_a_worker_process_is_reported_without_its_traceback():
    error = DamagedImage("Caught it in worker 0.\nTraceback:\nswis.errors.DamagedImage: x.png is damaged")
    _, problems = outcome([], Launched([Point([], "bits=2")], [error], None), "logs")
    assert problems == "bits=2: x.png is damaged"


def test_ctrl_c_is_not_reported_as_a_wrong_option(command_line, tiny, monkeypatch):
    """A library that reads a configuration may swallow the exception, and the configuration is then wrong."""

    def press(*_):
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        raise InputError("there is no option banks")

    monkeypatch.setattr("swis.sweeps.sweeper.StudySweeper._check", press)
    done = command_line(*SWEEP, *tiny)
    assert (done.status, done.err) == (130, "interrupted; the rows computed so far are stored\n")
