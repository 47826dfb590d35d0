"""Objections that tasks of many kinds have: constant texts where a list is wanted, and what is no file of storage."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from tiercel.errors import Refused
from tiercel.flowspec.bounds import map_problem
from tiercel.flowspec.scalars import kind
from tiercel.model.property import constant
from tiercel.model.task import Objection
from tiercel.storage import uris


def list_objections(**values: Any) -> Iterator[Objection]:
    """Yield a warning about each constant text that stands for no list, by the names of the properties."""
    for name, value in values.items():
        text = constant(value)
        if text is not None and text.strip() and not is_list(text):
            yield Objection((name,), f"must be a list, or one written as JSON, but is '{text}'", refuses=False)


def map_objections(**values: Any) -> Iterator[Objection]:
    """Yield a warning about each constant that is no map and stands for none, by the names of the properties."""
    for name, value in values.items():
        text = constant(value)
        problem = map_problem(text) if text is not None else None
        if value is not None and not isinstance(value, str | dict):
            problem = f"must be a map, or one written as JSON, but is {kind(value)}"
        if problem is not None:
            yield Objection((name,), problem, refuses=False)


def is_list(text: str) -> bool:
    """Tell whether a text is JSON of a list."""
    try:
        return isinstance(json.loads(text), list)
    except (ValueError, RecursionError):
        return False


def uri_objections(name: str, value: Any) -> Iterator[Objection]:
    """Yield a warning about a constant that can be no file of internal storage."""
    text = constant(value)
    if text:
        try:
            uris.path_of(text)
        except Refused as error:
            yield Objection((name,), str(error), refuses=False)
