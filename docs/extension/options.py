"""The options of a run by group: their defaults, and what the comments of conf/ and of their fields say."""

from __future__ import annotations

import ast
import inspect
import io
import json
import re
import tokenize
from collections.abc import Iterator
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from enum import Enum, EnumMeta
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_type_hints

import omegaconf

from swis.options.conf_files import CONF
from swis.options.option import default_of


@dataclass(frozen=True)
class Known:
    """An option: its name on the command line, its default as it is written there, and its meaning."""

    name: str
    default: str
    meaning: str


def options(settings: type, group: str = "", file: str = "config.yaml") -> list[Known]:
    """Return the options of a dataclass, in its order; those of groups inside are left out.

    Meanings are the comments behind the values in a file of conf/, or else those behind or above the fields
    of the dataclass. Raises ``ValueError`` if an option has neither.
    """
    written = comments(CONF / file)
    hints = get_type_hints(settings)
    found, silent = [], []
    for each in fields(settings):
        if _is_group(each):
            continue
        name = f"{group}.{each.name}" if group else each.name
        meaning = written.get(each.name if "/" in file else name) or _comment_of(settings, each.name)
        if not meaning:
            silent.append(name)
        found.append(Known(name, _default(each), meaning + _rest(each, hints[each.name], meaning)))
    if silent:
        raise ValueError(f"no comment says what these options mean: {', '.join(silent)}")
    return found


def comments(path: Path) -> dict[str, str]:
    """Return the comments behind the values of a YAML file, by dotted name; they go on in lines below."""
    found: dict[str, str] = {}
    above: list[tuple[int, str]] = []
    last = None
    for line in path.read_text().splitlines():
        said = re.fullmatch(r"( *)([\w-]+):(?: .*?)??(?:(?:^| +)# (.*))?", line)
        if said:
            indent, key, comment = len(said[1]), said[2], said[3]
            above = [(deep, name) for deep, name in above if deep < indent] + [(indent, key)]
            last = ".".join(name for _, name in above)
            if comment:
                found[last] = comment
        elif last in found and (more := re.fullmatch(r" *# (.*)", line)):
            found[last] += " " + more[1]
        else:
            last = None
    return found


def _comment_of(settings: type, field: str) -> str:
    for kind in settings.__mro__:
        if is_dataclass(kind) and field in (said := dict(_field_comments(kind))):
            return said[field]
    return ""


def _field_comments(settings: type) -> Iterator[tuple[str, str]]:
    source = inspect.cleandoc("\n" + inspect.getsource(settings))
    lines = {
        line: node.target.id
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
        for line in (node.lineno, node.end_lineno)
    }
    above: list[str] = []
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        place, text = token.start[0], token.string.removeprefix("# ")
        if token.type == tokenize.COMMENT and place in lines and "type: ignore" not in text:
            yield lines[place], text
        elif token.type == tokenize.COMMENT and place not in lines:
            above.append(text)
        elif token.type not in (tokenize.NL, tokenize.NEWLINE, tokenize.COMMENT, tokenize.INDENT):
            if above and place in lines:
                yield lines[place], " ".join(above)
            above = []


def _is_group(field: Field[Any]) -> bool:
    return is_dataclass(field.default_factory)


def _default(field: Field[Any]) -> str:
    if field.default is MISSING and field.default_factory is MISSING:
        return ""
    value = default_of(field)
    if value == omegaconf.MISSING:
        return ""
    return json.dumps(value, default=vars) if not isinstance(value, str | Enum) else str(value)


def _rest(field: Field[Any], hint: Any, meaning: str) -> str:
    """What its comment leaves out: the choices, and an older name that it still has."""
    parts = get_args(hint) if isinstance(hint, UnionType) else (hint,)
    kinds = [inner for part in parts for inner in (part, *get_args(part))]
    names = [str(each) for kind in kinds if isinstance(kind, EnumMeta) for each in kind]
    if "names" in field.metadata:
        names = field.metadata["names"]()
    rest = ""
    if any(name not in meaning for name in names):
        rest += f" (one of {', '.join(names)})"
    if field.metadata.get("formerly"):
        rest += f" (formerly `{field.metadata['formerly']}`)"
    return rest
