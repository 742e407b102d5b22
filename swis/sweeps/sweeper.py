"""The sweeper: it lists the points of a sweep, lets Hydra's launchers run them, and reports the results."""

from __future__ import annotations

import logging
import pickle
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from functools import cache
from operator import attrgetter
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from swis.errors import CannotWrite, InputError, RunFailed, message_of
from swis.experiments.command import check_options, explain, show
from swis.experiments.config import Config, resolve
from swis.options.conf_files import CONF
from swis.runtime.files import stamp
from swis.runtime.progress import no_bars, note, tqdm

if TYPE_CHECKING:
    from swis.experiments.pending import Point
    from swis.sweeps.report import Launched

log = logging.getLogger("swis")

_SECONDS = 1.0  # time between two checks which rows exist
_BATCH = 1000  # points that a launcher gets at once: by default Slurm refuses larger arrays


class StudySweeper(Sweeper):
    """A Hydra sweeper that runs a point for every combination of values and leaves out finished points.

    The swept values are those of ``sweep`` in the experiment's file and of the command line, which has
    priority. All points are checked before the first one runs. Raises ``InputError`` for an invalid point,
    after the others ran, and ``RunFailed`` if rows failed or are missing.
    """

    def __init__(self) -> None:
        self.context: HydraContext | None = None
        self.config: DictConfig | None = None
        self.launcher: Launcher | None = None

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.context, self.config = hydra_context, config
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> None:
        from swis.results.compaction import compact_many
        from swis.sweeps.report import dry_run, each_once, outcome

        points = self._points(arguments)
        note(f"checking {len(points)} points, and which of their rows exist")
        self._check(points)
        wrong = each_once((point, point.error) for point in points if point.error)
        if self.config.dry_run:
            if any(not point.error for point in points):
                show(dry_run(points, self.config.minutes))
        else:
            launched = self._launch([point for point in points if point.to_do])
            reports, problems = outcome(points, launched, self.config.hydra.sweep.dir)
            for folder in {point.config.results_dir for point in launched.points if point.rows}:
                with suppress(CannotWrite):  # then the files are not merged
                    compact_many(Path(folder))
            if problems:
                raise RunFailed("; ".join([problems, *wrong]), reports)
            if reports:
                show(reports)
        if wrong:
            raise InputError("; ".join(wrong))

    def _points(self, arguments: list[str]) -> list[Point]:
        """Return a point for every combination of values; the last option changes fastest."""
        from swis.experiments.pending import Point

        parser = OverridesParser.create(config_loader=self.context.config_loader)
        swept = [f"{name}={value}" for name, value in self.config.sweep.items()]
        check_options(swept, Config)
        if self.config.force:  # points with the same row compute it once: it is newer than the sweep
            swept.append(f"sweep_started={int(time.time())}")
        overrides = parser.parse_overrides([*swept, *arguments])
        combinations = BasicSweeper.split_arguments(overrides, None)[0]
        combinations = [[*texts] for texts in dict.fromkeys(map(tuple, combinations))]  # bits=2,2 is bits=2
        values: dict[str, set[str]] = {}
        for combination in combinations:
            for text in combination:
                values.setdefault(text.partition("=")[0], set()).add(text)
        return [
            Point(texts, " ".join(text for text in texts if len(values[text.partition("=")[0]]) > 1))
            for texts in combinations
        ]

    def _check(self, points: list[Point]) -> None:
        """Set the configuration and the rows of every point, or its error."""
        from swis.experiments.pending import planned
        from swis.results.records import finished

        composed: dict[tuple[str, ...], bytes] = {}
        known: dict[str, set[str]] = {}
        for point in tqdm(points, desc="checking points", leave=False, delay=2):
            try:
                made = self._compose(point.overrides, composed)
                if made.sweep != self.config.sweep:
                    raise InputError("this experiment is a sweep itself; run several sweeps one by one")
                point.config = resolve(made)
                if point.config.has_rows:
                    folder = point.config.results_dir
                    if folder not in known:
                        known[folder] = finished(Path(folder))
                    point.rows = planned(point.config, known[folder])
                else:
                    from swis.experiments.tables import has_table

                    point.has_table = has_table(point.config)
            except InputError as error:
                point.error = message_of(error)
            except (HydraException, OmegaConfBaseException) as error:
                point.error = explain(error)
            except CannotWrite:
                raise
            except Exception as error:  # the point's job will raise the same, with a traceback in its log
                log.debug("checking %s: %s", point.label, error)
        _check_tables(points)

    def _compose(self, overrides: Sequence[str], composed: dict[tuple[str, ...], bytes]) -> DictConfig:
        """Return a point's configuration; Hydra composes once per choice of files, and values are set after.

        Composing takes Hydra a quarter of a second, and it does not depend on values.
        """
        parsed = [_parsed(text) for text in overrides]
        plain = [each.type.name == "CHANGE" and not (CONF / each.key_or_group).is_dir() for each in parsed]
        files = tuple(text for text, is_plain in zip(overrides, plain, strict=True) if not is_plain)
        if files not in composed:
            config = self.context.config_loader.load_sweep_config(self.config, list(files))
            with open_dict(config):
                del config["hydra"]  # the largest part, which points do not need
            composed[files] = pickle.dumps(config)
        config = pickle.loads(composed[files])  # six times faster than OmegaConf's own copy
        for each, is_plain in zip(parsed, plain, strict=True):
            if is_plain and not each.is_hydra_override():
                OmegaConf.update(config, each.key_or_group, each.value(), merge=True)
        return config

    def _launch(self, points: list[Point]) -> Launched:
        """Run points, and return their results."""
        from swis.sweeps.report import Launched

        if not points:
            return Launched([], [], None)
        for name in ("hydra", "hydra_plugins"):  # their lines about every job would break the bar
            logging.getLogger(name).setLevel(logging.WARNING)
        watch, returned, stopped = _Watch(points), [], None
        try:
            with watch:
                for start in range(0, len(points), _BATCH):
                    some = [point.overrides for point in points[start : start + _BATCH]]
                    # not the property return_value, which prints a line for every exception
                    returned += [
                        job._return_value for job in self.launcher.launch(some, initial_job_idx=start)
                    ]
        except Exception as error:  # for example, a worker of the launcher was killed
            stopped = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
        return Launched(points, returned, stopped)


@cache
def _parsed(override: str) -> Override:
    """Return a parsed override; parsing takes a millisecond, and points share most of their overrides."""
    return OverridesParser.create().parse_overrides([override])[0]


def _check_tables(points: list[Point]) -> None:
    """Set the error of points that would write to the same file."""
    writers: dict[Path, list[tuple[Point, str]]] = {}
    for point in points:
        if point.config is None or point.error or point.rows:
            continue
        option = point.config.does.writes
        file = attrgetter(option)(point.config)
        if file is not None:
            target = f"{option}={file}"
            writers.setdefault(Path(file).resolve(), []).append((point, target))
    for first, *others in writers.values():
        for point, target in others:
            point.error = f"{target} is also the file of {first[0].label}; put the swept values into its name"


class _Watch:
    """A progress bar of the rows or tables that exist; it watches files, whichever process writes them."""

    def __init__(self, points: list[Point]) -> None:
        from swis.results.rows import store

        todo = [(point, row) for point in points for row in point.rows if not row.there]
        rows = {store(Path(point.config.results_dir)).path(row.key) for point, row in todo}
        # a point whose check raised an exception has no configuration
        tables = {Path(point.config.out) for point in points if point.config and point.config.out}
        self.before = {path: stamp(path) for path in rows or tables}
        self.kind = "rows" if rows else "tables"
        self.stop = Event()

    def __enter__(self) -> None:
        self.bar = tqdm(total=len(self.before), desc=self.kind, disable=not self.before)
        self.thread = Thread(target=self._look, daemon=True)
        self.thread.start()

    def __exit__(self, *_: Any) -> None:
        self.stop.set()
        self.thread.join()
        self.bar.close()

    def _look(self) -> None:
        while not self.stop.wait(_SECONDS):
            self._update()
        self._update()

    def _update(self) -> None:
        fresh = [path for path, before in self.before.items() if stamp(path) != before]
        for path in fresh:
            del self.before[path]
        self.bar.update(len(fresh))


@contextmanager
def log_file(hydra: DictConfig) -> Iterator[None]:
    """Redirect everything that a point prints and logs to its file NUMBER.log in the sweep's folder."""
    path = Path(hydra.runtime.output_dir) / f"{hydra.job.num}.log"
    with _Log(path) as log, no_bars():
        handler = logging.StreamHandler(log)
        root = logging.getLogger()
        before, root.handlers = root.handlers, [handler]
        try:
            print(" ".join(hydra.overrides.task), file=log)
            with redirect_stdout(log), redirect_stderr(log):
                yield
        except Exception:
            traceback.print_exc(file=log)
            raise
        finally:
            root.handlers = before


class _Log:
    """An unbuffered log file, complete even if the process is killed; on a full disk, text is dropped.

    Raises ``CannotWrite`` if the file cannot be created.
    """

    def __init__(self, path: Path) -> None:
        try:
            self.file = path.open("ab", buffering=0)
        except OSError as error:
            raise CannotWrite(f"{path} cannot be written: {error.strerror}") from error

    def __enter__(self) -> _Log:
        return self

    def __exit__(self, *_: Any) -> None:
        self.file.close()

    def write(self, text: str) -> int:
        with suppress(OSError):  # the job may write elsewhere, and reports a full disk itself
            self.file.write(text.encode(errors="backslashreplace"))
        return len(text)

    def flush(self) -> None:
        """Do nothing, because nothing is buffered."""

    def isatty(self) -> bool:
        """Return False, so that libraries draw no bars."""
        return False
