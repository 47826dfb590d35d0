"""Results of flow tests as JUnit XML, which CI servers show."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final
from xml.etree import ElementTree

from tiercel.cli.caserun import CaseResult
from tiercel.cli.suite import Suite

_NOT_XML: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that an XML text cannot hold."""


def document(results: Sequence[tuple[str, Suite, Sequence[CaseResult]]]) -> bytes:
    """Return the document: a suite of ours is one of JUnit's."""
    root = ElementTree.Element("testsuites")
    for file, suite, cases in results:
        element = ElementTree.SubElement(
            root,
            "testsuite",
            name=f"{suite.namespace}.{suite.id}",
            file=file,
            tests=str(len(cases)),
            failures=str(sum(case.result == "FAILED" for case in cases)),
            errors=str(sum(case.result == "ERROR" for case in cases)),
            skipped=str(sum(case.result == "SKIPPED" for case in cases)),
            time=f"{sum(case.seconds for case in cases):.3f}",
        )
        for case in cases:
            _case(element, suite, case)
    ElementTree.indent(root)
    encoded: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return encoded


def _case(parent: ElementTree.Element, suite: Suite, case: CaseResult) -> None:
    name = f"{suite.namespace}.{suite.flow_id}"
    element = ElementTree.SubElement(parent, "testcase", name=case.case, classname=name, time=f"{case.seconds:.3f}")
    if case.result == "SKIPPED":
        ElementTree.SubElement(element, "skipped")
    elif case.result != "SUCCESS":
        kind = "failure" if case.result == "FAILED" else "error"
        said = [_clean(reason) for reason in case.reasons]
        ElementTree.SubElement(element, kind, message=said[0] if said else "").text = "\n".join(said)
    if case.errors:
        ElementTree.SubElement(element, "system-err").text = _clean("\n".join(case.errors))


def _clean(text: str) -> str:
    return _NOT_XML.sub("\ufffd", text)
