"""Processes that tests kill or limit; they are forked from a clean process that has imported slow modules."""

from multiprocessing import get_context

PROCESSES = get_context("forkserver")
PROCESSES.set_forkserver_preload(["swis.results.records", "pytest", "hypothesis"])
