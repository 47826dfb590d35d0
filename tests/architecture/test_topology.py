"""The table of topics is true: who it names as producer sends, and who it names as consumer has a handler and reads."""

from __future__ import annotations

import re
from typing import Any, Final

import pytest

from tests.architecture import tree
from tiercel.messages.topics import TOPICS, Route, Topic

HANDLED_ELSEWHERE: Final = {
    ("broadcast", "webserver"): "flowcache.py",  # all that it does with news is to forget parsed flows
}
"""Consumers whose handler is not `handlers/<topic>.py`."""


def source(service: str) -> str:
    """Return all code of a service."""
    return "\n".join(path.read_text() for path in sorted((tree.SOURCE_ROOTS[1] / service).rglob("*.py")))


def sends(service: str, topic: Topic[Any]) -> bool:
    if topic.route is Route.DISPATCH:
        return "OutgoingJob(" in source(service)
    return re.search(rf"topic=(topics\.)?{topic.name.upper()}\b", source(service)) is not None


def receives(service: str, topic: Topic[Any]) -> bool:
    if topic.route is Route.DISPATCH:
        return ".claim(" in source(service)
    verb = "read" if topic.route is Route.KEYED else "subscribe"
    return re.search(rf"\.{verb}\((topics\.)?{topic.name.upper()}\b", source(service)) is not None


@pytest.mark.parametrize("topic", TOPICS, ids=lambda topic: topic.name)
def test_producers_send_and_nobody_else(topic: Topic[Any]) -> None:
    """The table names exactly the services that send on a topic."""
    found = {service for service in tree.SERVICES if sends(service, topic)}

    assert set(topic.producers) == found


@pytest.mark.parametrize("topic", TOPICS, ids=lambda topic: topic.name)
def test_consumers_receive_and_nobody_else(topic: Topic[Any]) -> None:
    """The table names exactly the services that receive from a topic."""
    found = {service for service in tree.SERVICES if receives(service, topic)}

    assert set(topic.consumers) == found


@pytest.mark.parametrize(
    ("service", "topic"), [(consumer, topic.name) for topic in TOPICS for consumer in topic.consumers]
)
def test_each_consumer_has_a_handler_of_the_topics_name(service: str, topic: str) -> None:
    """The data path is readable from the tree."""
    name = HANDLED_ELSEWHERE.get((topic, service), f"handlers/{topic}.py")

    assert (tree.SOURCE_ROOTS[1] / service / name).exists()


def test_numbers_and_names_of_topics_are_unique() -> None:
    """Both are used as keys in stored rows."""
    assert len(TOPICS) == len({topic.number for topic in TOPICS}) == len({topic.name for topic in TOPICS})
