"""task=simulate: a table of cycles, energy and traffic of accelerators for a network or layer shapes."""

from __future__ import annotations

from swis.experiments.config import Config
from swis.experiments.hardware_study import simulate_methods
from swis.experiments.report import kinds, simulation


def run(config: Config, command: str) -> str:
    """Simulate the network, or the shapes of a workload, in every method, and return the report."""
    networks, layers, written = simulate_methods(config)
    parts = [simulation(networks, config.accelerator.source, config.baselines)]
    simulated = layers.dropna(subset="macs") if "macs" in layers else layers[:0]  # others have no numbers
    if len(simulated):
        parts.append(kinds(simulated[simulated["method"] == simulated["method"].iloc[-1]]))
    if written is not None:
        parts.append(f"{len(written)} rows in {config.out}")
    return "\n\n".join(parts)
