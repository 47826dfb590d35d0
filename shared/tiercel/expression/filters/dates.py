"""Filters over dates."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, tzinfo
from typing import Any

from babel import Locale

from tiercel.expression.dates.java_zone import java_zone
from tiercel.expression.dates.moment import added, epoch_micros, moment, written
from tiercel.expression.dates.writing import locale_of
from tiercel.expression.filters.numbers import DEFAULT_LOCALE
from tiercel.expression.printing import java_text
from tiercel.expression.runtime import Call
from tiercel.expression.signature import Args, Filter
from tiercel.expression.values import Long, is_number, whole

DATE_ARGUMENTS = ("format", "timeZone", "existingFormat", "locale")
_EPOCH_ARGUMENTS = ("timeZone", "existingFormat")


def _zone(args: Args, call: Call) -> tzinfo:
    name = args.get("timeZone")
    return call.host.zone if name is None else java_zone(java_text(name))


def _locale(args: Args) -> Locale:
    name = args.get("locale")
    return locale_of(DEFAULT_LOCALE if name is None else java_text(name))


def _moment(value: Any, args: Args, call: Call) -> datetime:
    existing = args.get("existingFormat")
    return moment(value, _zone(args, call), None if existing is None else java_text(existing), _locale(args))


def format_date(value: Any, args: Args, call: Call) -> Any:
    """Write a date in a format and zone; null stays null."""
    if value is None:
        return None
    name = args.get("format")
    return written(
        _moment(value, args, call), "iso" if name is None else java_text(name), _zone(args, call), _locale(args)
    )


def _date_add(value: Any, args: Args, call: Call) -> Any:
    if value is None:
        return None
    amount, unit = args.get("amount"), args.get("unit")
    if amount is None or unit is None:
        raise call.fail("The 'dateAdd' filter expects the arguments 'amount' and 'unit'.")
    if not is_number(amount) and not isinstance(amount, str):
        raise call.fail("The 'dateAdd' filter expects a whole number as argument 'amount'.")
    return format_date(added(_moment(value, args, call), whole(amount), java_text(unit)), args, call)


def _timestamp(value: Any, args: Args, call: Call) -> Any:
    return None if value is None else Long(epoch_micros(_moment(value, args, call)) // 1_000_000)


def _timestamp_milli(value: Any, args: Args, call: Call) -> Any:
    return None if value is None else Long(epoch_micros(_moment(value, args, call)) // 1_000)


def _timestamp_micro(value: Any, args: Args, call: Call) -> Any:
    if value is None:
        return None
    micros = epoch_micros(_moment(value, args, call))
    if call.is_second:
        return str(micros)
    # The first dialect writes seconds * 10^9 + microseconds, and stored values depend on it.
    seconds, rest = divmod(micros, 1_000_000)
    return str(seconds * 1_000_000_000 + rest)


def _timestamp_nano(value: Any, args: Args, call: Call) -> Any:
    return None if value is None else str(epoch_micros(_moment(value, args, call)) * 1000)


FILTERS: Mapping[str, Filter] = {
    "date": Filter(format_date, DATE_ARGUMENTS),
    "dateAdd": Filter(_date_add, ("amount", "unit", *DATE_ARGUMENTS)),
    "timestamp": Filter(_timestamp, _EPOCH_ARGUMENTS),
    "timestampMicro": Filter(_timestamp_micro, _EPOCH_ARGUMENTS),
    "timestampMilli": Filter(_timestamp_milli, _EPOCH_ARGUMENTS),
    "timestampNano": Filter(_timestamp_nano, _EPOCH_ARGUMENTS),
}
