"""The tasks of run.py, a module for each: its ``run(config, command)`` does it and returns the report."""
