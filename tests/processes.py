"""Processes that tests kill or limit, forked from a clean one that has imported what takes seconds."""

from multiprocessing import get_context

PROCESSES = get_context("forkserver")
PROCESSES.set_forkserver_preload(["swis.results.records", "pytest", "hypothesis"])
