"""The package that pip installs, used outside the repository."""

import os
import shutil
import subprocess
import sys
from zipfile import ZipFile

import pytest
from conftest import ROOT

FOLDERS = ("swis", "conf", "hydra_plugins")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Build the wheel from a copy, because setuptools leaves files in the source folder."""
    source, made = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in FOLDERS:
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    pip("wheel", "--no-build-isolation", "--wheel-dir", made, source)
    (path,) = made.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """Return the folder that the wheel is installed into."""
    folder = tmp_path_factory.mktemp("installed")
    pip("install", "--target", folder, wheel)
    return folder


def pip(command, *arguments) -> None:
    offline = ("--quiet", "--no-index", "--no-deps")
    subprocess.run([sys.executable, "-m", "pip", command, *offline, *arguments], check=True)


@pytest.fixture
def python(installed, tmp_path):
    """Return a function that starts Python in an empty folder, with the installed wheel first in its path."""
    (tmp_path / "empty").mkdir()

    def start(*arguments) -> subprocess.CompletedProcess:
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=tmp_path / "empty",
            env=os.environ | {"PYTHONPATH": str(installed)},
            capture_output=True,
            text=True,
            check=False,
        )

    return start


def test_the_wheel_has_every_file(wheel):
    files = [path for name in FOLDERS for path in (ROOT / name).rglob("*") if path.is_file()]
    names = [path.relative_to(ROOT).as_posix() for path in files if path.suffix != ".pyc"]
    expected = {f"swis/{name}" if name.startswith("conf/") else name for name in names}
    found = ZipFile(wheel).namelist()
    assert {name for name in found if ".dist-info/" not in name} == expected


def test_the_package_needs_no_repository(python, installed):
    code = """
import hydra_plugins.swis_sweeper, swis, swis.options.conf_files
print(swis.__file__, hydra_plugins.swis_sweeper.__file__, swis.options.conf_files.CONF, sep="\\n")
assert swis.load_table
"""
    done = python("-c", code)
    assert done.returncode == 0, done.stderr
    assert all(line.startswith(f"{installed}/") for line in done.stdout.splitlines())


def test_the_command(python, installed, tiny):
    command = installed / "bin" / "swis"
    done = python(command, "--help")
    assert done.returncode == 0, done.stderr
    assert "\n  swis model=mobilenet_v2 bits=2\n" in done.stdout
    assert "run.py" not in done.stdout

    done = python(command, *tiny, "methods=[round]", "dry_run=true")
    assert (done.returncode, done.stdout) == (0, "float to do, int8 to do, round to do\n"), done.stderr

    done = python(command, "bit=3")
    assert (done.returncode, done.stderr) == (2, "error: there is no option bit; did you mean bits?\n")
