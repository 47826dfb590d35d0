"""
What a query string asks for: pages, sorting, and filters in both of Kestra's forms (reference 11.1).

The older form has flat parameters (`namespace=…&state=…`), the newer one `filters[<field>][<OP>]=value`. Both become
the repository's filters.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import parse_qsl

from tiercel.errors import Refused
from tiercel.model.duration import parse_duration
from tiercel.model.execution import ExecutionKind
from tiercel.model.state import State
from tiercel.repository.base import Page, Sort
from tiercel.repository.filter import Field, Filter, Op, level_rank
from tiercel.webserver.problem import BadFilter, BadQuery

SIZE_MAX: Final = 1000
"""Rows of a page; who asks for more gets so many."""
PAGE_MAX: Final = 1_000_000_000
"""The last page: what stands before it is counted in 64 bits."""
NUMBER_MAX: Final = 2**63 - 1
"""The largest number that a parameter can be: what it is compared with has 64 bits."""
_KEY: Final = re.compile(r"filters\[([^\]]+)\]\[([^\]]+)\](?:\[(.+)\])?")
_UNDERLINE: Final = re.compile(r"(?<=[a-z])(?=[A-Z])")
_SCOPES: Final = ("USER", "SYSTEM")
_CHILDREN: Final = ("CHILD", "MAIN")
_LEVEL_OPS: Final = frozenset({Op.EQUALS, Op.GREATER_THAN_OR_EQUAL_TO, Op.IN})
_DATE_OPS: Final = frozenset(
    {Op.EQUALS, Op.NOT_EQUALS, Op.GREATER_THAN, Op.GREATER_THAN_OR_EQUAL_TO, Op.LESS_THAN, Op.LESS_THAN_OR_EQUAL_TO}
)
_TIME_RANGE: Final = "timeRange"
_NAMES: Final = {"query": "q", "minLevel": "level", "taskrunId": "taskRunId", "attempt": "attemptNumber"}

EXECUTION_FIELDS: Final = (
    Field.QUERY,
    Field.SCOPE,
    Field.FLOW_ID,
    Field.START_DATE,
    Field.END_DATE,
    Field.STATE,
    Field.LABELS,
    Field.TRIGGER_EXECUTION_ID,
    Field.CHILD_FILTER,
    Field.NAMESPACE,
    Field.KIND,
    Field.PARENT_ID,
)
LOG_FIELDS: Final = (
    Field.QUERY,
    Field.SCOPE,
    Field.NAMESPACE,
    Field.START_DATE,
    Field.END_DATE,
    Field.FLOW_ID,
    Field.TRIGGER_ID,
    Field.MIN_LEVEL,
    Field.EXECUTION_ID,
    Field.TASK_ID,
    Field.TASK_RUN_ID,
    Field.ATTEMPT_NUMBER,
)
METRIC_FIELDS: Final = (Field.TASK_ID, Field.TASK_RUN_ID, Field.NAME, Field.START_DATE, Field.END_DATE)
FLOW_FIELDS: Final = (Field.QUERY, Field.SCOPE, Field.NAMESPACE, Field.LABELS, Field.FLOW_ID)
AUDIT_FIELDS: Final = (Field.QUERY, Field.START_DATE, Field.END_DATE)
TRIGGER_FIELDS: Final = (Field.QUERY, Field.SCOPE, Field.NAMESPACE, Field.FLOW_ID, Field.TRIGGER_ID)


class Query:
    """The parameters of one request."""

    def __init__(self, query_string: bytes | str) -> None:
        text = query_string.decode("latin-1") if isinstance(query_string, bytes) else query_string
        self.pairs = parse_qsl(text, keep_blank_values=True) if text else []

    def one(self, name: str, default: str | None = None) -> str | None:
        """Return the last value of a parameter."""
        return next((value for key, value in reversed(self.pairs) if key == name), default)

    def all(self, name: str) -> list[str]:
        """Return every value of a parameter."""
        return [value for key, value in self.pairs if key == name]

    def required(self, name: str) -> str:
        """Return a parameter that must be there."""
        value = self.one(name)
        if value is None:
            raise BadQuery(f"Required QueryValue [{name}] not specified; add '?{name}=…' to the URL.")
        return value

    def flag(self, name: str, default: bool = False) -> bool:
        """Return a parameter as true or false."""
        value = self.one(name)
        if value is None or value.lower() in ("true", "false", "", "1", "0"):
            return default if value is None else value.lower() in ("true", "", "1")
        raise Refused(f"The parameter '{name}' must be 'true' or 'false', not '{value}'.")

    def number(
        self, name: str, default: int | None = None, *, least: int | None = None, most: int = NUMBER_MAX
    ) -> int | None:
        """Return a parameter as an integer."""
        value = self.one(name)
        if value is None or value == "":
            return default
        try:
            number = int(value)
        except ValueError:
            raise Refused(f"The parameter '{name}' must be a whole number, not '{value}'.") from None
        if least is not None and number < least:
            raise Refused(f"{name}: must be greater than or equal to {least}, not {number}.")
        if abs(number) > most:
            raise Refused(f"{name}: must be less than or equal to {most}, not {number}.")
        return number

    def instant(self, name: str) -> datetime | None:
        """Return a parameter as an instant."""
        value = self.one(name)
        return None if not value else read_instant(name, value)

    def page(self, *, size: int = 10, total: bool = True) -> Page:
        """Return the part of a list that is asked for."""
        number = self.number("page", 1, least=1, most=PAGE_MAX) or 1
        length = self.number("size", size, least=1) or size
        return Page(
            number=number,
            size=min(length, SIZE_MAX),
            sort=tuple(_sort(text) for each in self.all("sort") for text in each.split(",") if text),
            cursor=self.one("cursor") or None,
            total=total,
        )

    def filters(self, resource: str, fields: tuple[Field, ...], now: datetime) -> list[Filter]:
        """Return the filters that are asked for, in both forms; refuse unknown ones of the newer form."""
        found = [*self._flat(fields), *self._nested(resource, fields)]
        ranges = [str(value) for name, value in found if name == _TIME_RANGE]
        filters = [value for _, value in found if isinstance(value, Filter) and not _is_anything(value)]
        starts = [each.value for each in filters if each.field is Field.START_DATE]
        ends = [each.value for each in filters if each.field is Field.END_DATE]
        if ranges:
            if starts:
                raise Refused("The parameters startDate and timeRange are mutually exclusive; give one of them.")
            filters.append(Filter(field=Field.START_DATE, op=Op.GREATER_THAN_OR_EQUAL_TO, value=_ago(now, ranges[-1])))
        if starts and ends and min(starts) > max(ends):
            raise Refused("Start date must be before End Date")
        return filters

    def _flat(self, fields: tuple[Field, ...]) -> Iterable[tuple[str, Any]]:
        by_name = {field.value: field for field in fields}
        states: list[str] = []
        for key, value in self.pairs:
            name = _NAMES.get(key, key)
            if name == _TIME_RANGE and value:
                yield _TIME_RANGE, value
            elif value and (field := by_name.get(name)) is not None:
                if field is Field.STATE:
                    states.extend(_state(text) for text in value.split(","))
                elif field is Field.LABELS:
                    yield name, Filter(field=field, value=label(value))
                else:
                    op = Op.PREFIX if field is Field.NAMESPACE else Op.EQUALS
                    yield name, _filter(field, op, value)
        if states:
            yield "state", Filter(field=Field.STATE, op=Op.IN, value=tuple(states))

    def _nested(self, resource: str, fields: tuple[Field, ...]) -> Iterable[tuple[str, Any]]:
        by_name = {field.value: field for field in fields}
        for key, value in self.pairs:
            match = _KEY.fullmatch(key)
            if match is None:
                if key.startswith("filters["):
                    raise BadFilter(f"'{key}' is not a filter; write it as filters[namespace][EQUALS]=company.team.")
                continue
            name, operation, part = _NAMES.get(match[1], match[1]), match[2], match[3]
            if name == _TIME_RANGE:
                yield _TIME_RANGE, value
                continue
            if name not in by_name:
                supported = ", ".join(field.name for field in fields)
                raise BadFilter(
                    f"Provided query filters are invalid: Field {_UNDERLINE.sub('_', match[1]).upper()} is not"
                    f" supported for resource {resource}. Supported fields are {supported}"
                )
            op = _operation(operation)
            if by_name[name] is Field.LABELS:
                for each in _label_filters(op, *((part, value) if part else label(value))):
                    yield name, each
            else:
                yield name, _filter(by_name[name], op, value)


def _is_anything(wanted: Filter) -> bool:
    """Tell whether a search for words is one for everything: a star stands for it."""
    return wanted.field is Field.QUERY and wanted.value == "*" and wanted.op is not Op.NOT_EQUALS


def _label_filters(op: Op, key: str, value: str) -> Iterable[Filter]:
    """Yield what a condition on a label comes to: it is there with this value, or it is not."""
    match op:
        case Op.EQUALS | Op.NOT_EQUALS:
            yield Filter(field=Field.LABELS, op=op, value=(key, value))
        case Op.NOT_IN:
            for part in value.split(","):
                yield Filter(field=Field.LABELS, op=Op.NOT_EQUALS, value=(key, part.strip()))
        case Op.IN | Op.CONTAINS if "," not in value:
            yield Filter(field=Field.LABELS, value=(key, value))
        case _:
            raise BadFilter(f"A label cannot be compared by {op} with '{value}'; use EQUALS, NOT_EQUALS or NOT_IN.")


def label(text: str) -> tuple[str, str]:
    """Read a label `key:value`; raise Refused when one of them is missing."""
    key, colon, value = text.partition(":")
    key, value = key.strip(), value.strip()
    if not colon or not key or not value:
        raise Refused(f"Invalid label '{text}': write it as 'key:value', neither of them empty.")
    return key, value


def labels(texts: Iterable[str]) -> dict[str, str]:
    """Read labels of a request; a key that comes twice with different values is refused."""
    read: dict[str, str] = {}
    for text in texts:
        key, value = label(text)
        if read.setdefault(key, value) != value:
            raise Refused(f"Duplicate label key '{key}': give it one value.")
    return read


def label_list(pairs: Any) -> dict[str, str]:
    """Read labels of a JSON body: a list of `{key, value}` or a map."""
    if isinstance(pairs, Mapping):
        pairs = [{"key": key, "value": value} for key, value in pairs.items()]
    if not isinstance(pairs, list):
        raise Refused("Labels are a list of {key, value}.")
    read: dict[str, str] = {}
    for pair in pairs:
        key = pair.get("key") if isinstance(pair, dict) else None
        value = pair.get("value") if isinstance(pair, dict) else None
        if not isinstance(key, str) or not key or value is None or value == "":
            raise Refused("Invalid label: a label is {key, value}, neither of them null or empty.")
        if read.setdefault(key, str(value)) != str(value):
            raise Refused(f"Duplicate label key '{key}': give it one value.")
    return read


def read_instant(name: str, text: str) -> datetime:
    """Read an instant in ISO-8601; without an offset it is UTC."""
    try:
        at = datetime.fromisoformat(text.strip().replace(" ", "+") if "T" in text else text.strip())
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except (ValueError, OverflowError):
        raise Refused(
            f"The parameter '{name}' must be an instant such as '2026-01-31T12:00:00Z', not '{text}'."
        ) from None


def _ago(now: datetime, length: str) -> datetime:
    try:
        return now - _duration(length)
    except OverflowError:
        raise Refused(f"The timeRange '{length}' reaches beyond the years 1 and 9999.") from None


def _duration(text: str) -> timedelta:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise Refused(str(error)) from None


def _sort(text: str) -> Sort:
    field, _, direction = text.partition(":")
    if direction.lower() not in ("", "asc", "desc"):
        raise Refused(f"Cannot sort by '{text}'; write 'field:asc' or 'field:desc'.")
    return Sort(field=field, descending=direction.lower() == "desc")


def _operation(text: str) -> Op:
    try:
        return Op(text)
    except ValueError:
        raise BadFilter(f"'{text}' is not an operation; use one of {', '.join(Op)}.") from None


def _state(text: str) -> str:
    try:
        return State(text.strip()).value
    except ValueError:
        raise Refused(f"'{text}' is not a state; use one of {', '.join(State)}.") from None


def _either(field: Field, op: Op, given: tuple[str, ...], known: tuple[str, ...]) -> tuple[str, ...]:
    """Return which of the few words a field has are wanted; what is not wanted is turned into what is."""
    if unknown := [word for word in given if word not in known]:
        raise Refused(f"'{unknown[0]}' is no value of {field}; use one of {', '.join(known)}.")
    if op in (Op.EQUALS, Op.IN):
        return given
    if op not in (Op.NOT_EQUALS, Op.NOT_IN) or len(set(given)) == len(known):
        raise BadFilter(f"'{field}' cannot be compared by {op} with {', '.join(given)}; use EQUALS or NOT_EQUALS.")
    return tuple(word for word in known if word not in given)


def _check_pattern(pattern: str) -> None:
    try:
        re.compile(pattern)
    except re.error as error:
        raise BadFilter(f"'{pattern}' is not a regular expression: {error}.") from None


def _filter(field: Field, op: Op, value: str) -> Filter:
    wanted: Any = tuple(part.strip() for part in value.split(",")) if op in (Op.IN, Op.NOT_IN) else value
    match field:
        case Field.QUERY:
            if op in (Op.IN, Op.NOT_IN):
                raise BadFilter(f"A text is not searched for by {op}; use EQUALS or NOT_EQUALS.")
        case Field.START_DATE | Field.END_DATE:
            if op not in _DATE_OPS:
                raise BadFilter(f"'{field}' cannot be compared by {op}; use one of {', '.join(sorted(_DATE_OPS))}.")
            wanted = read_instant(field.value, value)
            if op is Op.EQUALS:
                op = Op.GREATER_THAN_OR_EQUAL_TO if field is Field.START_DATE else Op.LESS_THAN_OR_EQUAL_TO
        case Field.STATE:
            states = wanted if isinstance(wanted, tuple) else (wanted,)
            checked = tuple(_state(state) for state in states)
            wanted = checked if isinstance(wanted, tuple) else checked[0]
        case Field.SCOPE:
            wanted = _either(field, op, tuple(scope.strip().upper() for scope in value.split(",")), _SCOPES)
            op = Op.EQUALS
        case Field.KIND:
            kinds = wanted if isinstance(wanted, tuple) else (wanted,)
            if unknown := [kind for kind in kinds if kind not in ExecutionKind.__members__]:
                raise Refused(f"'{unknown[0]}' is not a kind; use one of {', '.join(ExecutionKind)}.")
        case Field.MIN_LEVEL:
            if op not in _LEVEL_OPS:
                raise BadFilter(f"A level cannot be compared by {op}; use EQUALS for the least level, or IN.")
            for level in wanted if isinstance(wanted, tuple) else (wanted,):
                level_rank(level)
            wanted = tuple(each.upper() for each in wanted) if isinstance(wanted, tuple) else value.upper()
        case Field.ATTEMPT_NUMBER:
            if not value.isdecimal() or int(value) > NUMBER_MAX:
                raise Refused(f"The attempt number must be a whole number, not '{value}'.")
        case Field.CHILD_FILTER:
            (wanted,) = _either(field, op, (value,), _CHILDREN)
            op = Op.EQUALS
    if op is Op.REGEX:
        _check_pattern(value)
    return Filter(field=field, op=op, value=wanted)
