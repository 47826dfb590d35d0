"""
What the types of properties are made of, asked in one place for all who read them.

Binders, which read what authors write, and schemas, which editors check it with, must take the same.
"""

from __future__ import annotations

import types
from abc import ABC, abstractmethod
from collections.abc import Callable
from enum import Enum
from typing import Annotated, Any, Generic, TypeVar, Union, get_args, get_origin

import msgspec

T = TypeVar("T")


class AnnotationReader(ABC, Generic[T]):
    """Makes one thing of each annotation; `struct` makes those of Struct classes."""

    def __init__(self, struct: Callable[[type[Any]], T]) -> None:
        self._struct = struct

    def of(self, annotation: Any) -> T:
        """Return what is made of an annotation; None in a union is left aside: nulls never get here."""
        scalar = self._scalar(annotation) if isinstance(annotation, type) or annotation is Any else None
        if scalar is not None:
            return scalar
        origin = get_origin(annotation)
        if origin is Annotated:
            inner, *marks = get_args(annotation)
            return self._annotated(inner, marks)
        if origin in (Union, types.UnionType):
            return self._union(union_parts(annotation))
        if origin in (tuple, list, frozenset, set) or annotation in (list, tuple):
            items = [part for part in get_args(annotation) if part is not Ellipsis]
            return self._items(self.of(items[0] if items else Any), origin or annotation)
        if origin is dict or annotation is dict:
            return self._entries(self.of(get_args(annotation)[1] if get_args(annotation) else Any))
        if isinstance(annotation, type) and issubclass(annotation, Enum):
            return self._enum(annotation)
        if isinstance(annotation, type) and issubclass(annotation, msgspec.Struct):
            return self._struct(annotation)
        raise TypeError(f"A property cannot have the type {annotation!r}; {type(self).__name__} does not know it.")

    @abstractmethod
    def _scalar(self, annotation: Any) -> T | None: ...
    @abstractmethod
    def _annotated(self, inner: Any, marks: list[Any]) -> T: ...
    @abstractmethod
    def _union(self, parts: list[Any]) -> T: ...
    @abstractmethod
    def _items(self, item: T, container: type[Any]) -> T: ...
    @abstractmethod
    def _entries(self, entry: T) -> T: ...
    @abstractmethod
    def _enum(self, cls: type[Enum]) -> T: ...


def union_parts(annotation: Any) -> list[Any]:
    """Return the members of a union, None left aside; any other annotation is its only one."""
    if get_origin(annotation) in (Union, types.UnionType):
        return [part for part in get_args(annotation) if part is not type(None)]
    return [annotation]
