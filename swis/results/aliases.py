"""Older names of columns and methods, so that tables of older code are read like new ones."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

_COLUMNS = {
    "schedule_price": "schedule_budget_unit",
    "compression": "compression_vs_int8",
    "compression_of_float": "compression_vs_float32",
}
_METHODS = {"base": "int8"}


def with_present_names(table: pa.Table) -> pa.Table:
    """Return the table with today's names in place of older ones.

    >>> old = pa.table({"method": ["base", "swis"], "compression": [1.0, 1.76]})
    >>> with_present_names(old).to_pydict()
    {'method': ['int8', 'swis'], 'compression_vs_int8': [1.0, 1.76]}
    """
    table = table.rename_columns([_COLUMNS.get(name, name) for name in table.column_names])
    if "method" not in table.column_names:
        return table
    methods = table["method"]
    if pa.types.is_dictionary(methods.type):
        methods = pc.cast(methods, methods.type.value_type)
    for old, new in _METHODS.items():
        methods = pc.if_else(pc.equal(methods, old), pa.scalar(new, methods.type), methods)
    return table.set_column(table.column_names.index("method"), "method", methods)
