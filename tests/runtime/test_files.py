"""Files that cannot be written: one line gives the reason, and no partial file is left."""

import resource
import subprocess
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pandas as pd
import pytest
import torch
from examples import row
from processes import PROCESSES
from safetensors.torch import save_file

from swis.errors import CannotWrite
from swis.results import records
from swis.runtime.files import write_atomically

NUMBERS = torch.arange(100_000.0)
WRITERS = {
    "torch": lambda path: torch.save({"a": NUMBERS}, path),
    "safetensors": lambda path: save_file({"a": NUMBERS}, path),
    "parquet": lambda path: pd.DataFrame({"a": NUMBERS.numpy()}).to_parquet(path),
    "bytes": lambda path: Path(path).write_bytes(bytes(400_000)),
}


def refusals(folder: Path, limit: int | None) -> dict[str, str]:
    """Return the error of each library that writes a file of 400 kB, and that of writing a long row."""
    if limit is not None:  # Python ignores the signal that would end the process
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    messages = {}
    for name, write in WRITERS.items():
        try:
            write_atomically(folder / name, write)
        except CannotWrite as error:
            messages[name] = str(error)
    try:
        records.write_row(row(config=str(torch.randperm(100_000).tolist())), folder)
    except CannotWrite as error:
        messages["k.parquet"] = str(error)
    return messages


def in_a_process(folder: Path, limit: int | None) -> dict[str, str]:
    with ProcessPoolExecutor(1, mp_context=PROCESSES) as pool:
        return pool.submit(refusals, folder, limit).result()


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 64 kB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder]
    try:
        done = subprocess.run(mount, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("the program mount is missing")
    if done.returncode:
        pytest.skip(f"a small file system cannot be mounted: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)  # mapped files may stay in use for a while


def test_a_full_disk_is_the_reason_whichever_library_writes(small_disk):
    expected = {
        name: f"{small_disk / name} cannot be written: No space left on device"
        for name in (*WRITERS, "k.parquet")
    }
    assert in_a_process(small_disk, None) == expected
    assert not list(small_disk.iterdir())
    write_atomically(small_disk / "a", lambda path: Path(path).write_bytes(bytes(20_000)))
    assert in_a_process(small_disk, None) == expected
    assert [path.name for path in small_disk.iterdir()] == ["a"]


def test_a_limit_of_the_size_of_files_is_the_reason_whichever_library_writes(tmp_path):
    expected = {
        name: f"{tmp_path / name} cannot be written: File too large" for name in (*WRITERS, "k.parquet")
    }
    assert in_a_process(tmp_path, 32_768) == expected
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_created_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(CannotWrite, match=r"file/a cannot be written: (Not a directory|File exists)"):
        write_atomically(tmp_path / "file" / "a", WRITERS["bytes"])


@pytest.mark.parametrize("error", [ValueError("no number"), RuntimeError("no kernel"), KeyboardInterrupt()])
def test_other_errors_are_not_changed(tmp_path, error):
    def fail(path):
        Path(path).write_bytes(b"half")
        raise error

    with pytest.raises(type(error)) as raised:
        write_atomically(tmp_path / "a", fail)
    assert raised.value is error
    assert not list(tmp_path.iterdir())


def test_a_run_on_a_full_disk_ends_with_one_line_and_status_one(small_disk, command_line, tiny):
    done = command_line(*tiny[:-1], f"results_dir={small_disk}")
    assert done.status == 1
    (line,) = [line for line in done.err.splitlines() if line.startswith("error")]
    assert line.startswith(f"error: {small_disk}")
    assert line.endswith(" cannot be written: No space left on device")
    assert "Traceback" not in done.err
    assert not list(small_disk.rglob("*.partial"))


def test_a_sweep_whose_logs_and_rows_fill_a_disk_ends_with_one_line(small_disk, command_line, tiny):
    logs = f"hydra.sweep.dir={small_disk}/logs"
    sweep = ["--multirun", "methods=[round]", "bits=2,3,4", logs, *tiny[:-1], f"results_dir={small_disk}"]
    done = command_line(*sweep)
    assert done.status == 1
    (line,) = [line for line in done.err.splitlines() if line.startswith("error")]
    assert line.count("No space left on device") == 1
    assert f"error: {small_disk}" in line
    assert "(and " in line


def test_a_full_disk_for_logs_does_not_end_a_job(small_disk, command_line, tiny):
    (small_disk / "logs").mkdir()
    for number in (0, 1):
        (small_disk / "logs" / f"{number}.log").touch()
    (small_disk / "filling").write_bytes(bytes((64 << 10) - 4096))
    done = command_line(
        "--multirun", "methods=[round]", "bits=2,3", f"hydra.sweep.dir={small_disk}/logs", *tiny
    )
    assert done.status == 0, done.err
    assert "4 computed, 0 existed before, 0 failed" in done.out


def test_a_file_that_cannot_be_written_leaves_no_failed_row(command_line, tiny, tmp_path, monkeypatch):
    """The file may be a schedule or a training state that is written while a row is measured."""

    def refuse(*_):
        raise CannotWrite("somewhere/file cannot be written: Disk quota exceeded")

    monkeypatch.setattr("swis.experiments.study.Study.measure", refuse)
    done = command_line(*tiny, "methods=[swis]")
    assert (done.status, done.out) == (1, "")
    assert done.err == "error: somewhere/file cannot be written: Disk quota exceeded\n"
    done = command_line("--multirun", *tiny, "methods=[swis]")
    assert done.status == 1
    assert "Traceback" not in done.err
    assert not list((tmp_path / "runs").glob("*.parquet"))
