"""The list of packages, with conf/ as the package swis.conf; pyproject.toml cannot express it."""

from setuptools import find_namespace_packages, setup

setup(
    packages=[*find_namespace_packages(include=["swis*", "hydra_plugins.swis_sweeper"]), "swis.conf"],
    package_dir={"swis.conf": "conf"},
)
