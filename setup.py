"""The packages, which pyproject.toml cannot say: all that are found, and conf/ inside of swis."""

from setuptools import find_namespace_packages, setup

setup(
    packages=[*find_namespace_packages(include=["swis*", "hydra_plugins.swis_sweeper"]), "swis.conf"],
    package_dir={"swis.conf": "conf"},
)
