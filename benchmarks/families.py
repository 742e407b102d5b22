"""Check the smallest network of every family of timm in all steps of the package.

    python benchmarks/families.py [FAMILY ...] [out=FILE.csv] [gigabytes=8] [minutes=10] [depth=N]

Each network has random weights and the smallest possible images, and is checked in a separate process. The
checks cover folding, emulation with 8-bit activations (int8, and SWIS with N = 2), calibration (stats and
output_aware), packing, simulation and the count of MACs. The verdict of a row is "correct", or the error line
of a refused network, or the reason why a network was skipped. The command fails if a row has another verdict.

* ``out``: store the rows in a CSV file; the rows of an existing file are not computed again.
* ``gigabytes`` and ``minutes``: the limits of a process.
* ``depth``: shorten the networks that have this argument, so that all of timm takes minutes instead of hours;
  the column ``arguments`` shows which networks are shortened.
* ``find=true``: only print the network with the fewest parameters of every family.
"""

from __future__ import annotations

import multiprocessing
import resource
import sys
import time
import warnings
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pandas as pd
from family_checks import Wrong, check, warm_up
from family_networks import SMALLEST, smallest

from swis.errors import InputError

COLUMNS = (
    *("family", "network", "arguments", "side", "million", "float_share", "macs_to_torch", "base_db"),
    *("swis_db", "stats_db", "output_aware_db", "seconds", "verdict"),
)


def work(pipe: Connection, name: str, depth: int | None, gigabytes: float) -> None:
    """Check a network and send its row; this runs in a separate process."""
    resource.setrlimit(resource.RLIMIT_DATA, (int(gigabytes * 2**30),) * 2)
    start = time.perf_counter()
    try:
        row = check(name, depth) | {"verdict": "correct"}
    except InputError as error:
        row = {"verdict": f"refused: {error}"}
    except Wrong as error:
        row = {"verdict": f"wrong: {error}"}
    except (MemoryError, RuntimeError) as error:
        if "allocate memory" in str(error) or isinstance(error, MemoryError):
            row = {"verdict": f"skipped: more than {gigabytes:g} GB"}
        else:
            row = {"verdict": f"failed: {type(error).__name__}: {' '.join(str(error).split())[:200]}"}
    except Exception as error:
        row = {"verdict": f"failed: {type(error).__name__}: {' '.join(str(error).split())[:200]}"}
    pipe.send(row | {"seconds": round(time.perf_counter() - start)})


def row_of(family: str, name: str, options: dict[str, str]) -> dict[str, Any]:
    """Return the row of a family's network, also if its process fails or takes too long."""
    gigabytes, minutes = float(options.get("gigabytes", 8)), float(options.get("minutes", 10))
    depth = int(options["depth"]) if "depth" in options else None
    ours, theirs = multiprocessing.Pipe(duplex=False)
    # a fork has the functions that Numba has already compiled
    process = multiprocessing.get_context("fork").Process(target=work, args=(theirs, name, depth, gigabytes))
    process.start()
    theirs.close()
    try:
        row = ours.recv() if ours.poll(60 * minutes) else {"verdict": f"failed: took {minutes:g} minutes"}
    except EOFError:
        process.join()
        row = {"verdict": f"failed: its process ended with {process.exitcode}"}
    process.kill()
    process.join()
    return {column: ({"family": family, "network": name} | row).get(column) for column in COLUMNS}


def main(arguments: list[str]) -> int:
    """Compute and print the rows; return how many are not correct, refused or skipped."""
    options = dict(argument.split("=", 1) for argument in arguments if "=" in argument)
    if options.get("find") == "true":
        smallest()
        return 0
    names = [argument for argument in arguments if "=" not in argument] or list(SMALLEST)
    if unknown := [name for name in names if name not in SMALLEST]:
        sys.exit(f"error: timm has no family {unknown[0]}; it has {', '.join(SMALLEST)}")
    out = Path(options["out"]) if "out" in options else None
    stored = pd.read_csv(out).to_dict("records") if out is not None and out.exists() else []
    rows = {row["family"]: row for row in stored}
    width = [27, 35, 5, 8, 7, 8, 7, 7, 7, 7, 6]
    shown = ("family", "network", "side", "million", "float_share", "macs_to_torch")
    shown += ("base_db", "swis_db", "stats_db", "output_aware_db", "seconds")
    print(
        "".join(f"{column[: size - 1]:<{size}}" for column, size in zip(shown, width, strict=True))
        + "verdict"
    )
    warnings.filterwarnings("ignore")
    warm_up()
    for family in names:
        if family not in rows:
            rows[family] = row_of(family, SMALLEST[family], options)
            if out is not None:
                pd.DataFrame(rows.values(), columns=COLUMNS).to_csv(out, index=False)
        row = rows[family]
        cells = ("" if row[column] is None else str(row[column]) for column in shown)
        line = "".join(f"{cell:<{size}}" for cell, size in zip(cells, width, strict=True))
        print(line + row["verdict"], flush=True)
    verdicts = pd.Series([rows[family]["verdict"].split(":")[0] for family in names])
    print(", ".join(f"{count} {verdict}" for verdict, count in verdicts.value_counts().items()))
    return int((~verdicts.isin(["correct", "refused", "skipped"])).sum())


if __name__ == "__main__":
    sys.exit(min(main(sys.argv[1:]), 1))
