"""The tasks of run.py, one per module: ``run(config, command)`` runs the task and returns its report."""
