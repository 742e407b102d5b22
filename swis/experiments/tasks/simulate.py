"""task=simulate: a table of what accelerators take for a network, or for the shapes of one."""

from __future__ import annotations

from swis.experiments.config import Config
from swis.experiments.hardware_study import simulate_methods
from swis.experiments.report import kinds, simulation


def run(config: Config, command: str) -> str:
    """Simulate the network, or the shapes of a workload, in every method; return the report."""
    networks, layers, written = simulate_methods(config)
    parts = [simulation(networks, config.accelerator.source, config.baselines)]
    run = layers.dropna(subset="macs") if "macs" in layers else layers[:0]  # others could not be
    if len(run):
        parts.append(kinds(run[run["method"] == run["method"].iloc[-1]]))
    if written is not None:
        parts.append(f"{len(written)} rows in {config.out}")
    return "\n\n".join(parts)
