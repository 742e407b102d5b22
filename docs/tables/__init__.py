"""The tables of the pages: each a function, marked with ``docs.extension.registry.table``."""
