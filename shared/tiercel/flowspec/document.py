"""A flow as plain data for others to read: what the author wrote, in the form that the API shows."""

from __future__ import annotations

from typing import Any

from tiercel.model.flow import Flow


def flow_document(flow: Flow) -> dict[str, Any]:
    """
    Return the flow as the API shows it.

    The author's properties come as written, with plugin defaults; labels become a list of key and value that keeps
    the kind of each value, and `disabled` and `deleted` are always there.
    """
    document = dict(flow.document)
    result: dict[str, Any] = {"id": flow.id, "namespace": flow.namespace}
    if flow.revision is not None:
        result["revision"] = flow.revision
    result["disabled"] = flow.disabled
    result["deleted"] = flow.deleted
    labels = document.pop("labels", None)
    if labels:
        result["labels"] = label_list(labels)
    result.update({name: part for name, part in document.items() if name not in result and part is not None})
    return result


def label_list(labels: Any) -> list[dict[str, Any]]:
    """Return labels, written as a map or a list, as a list of key and value."""
    if isinstance(labels, dict):
        return [{"key": name, "value": value} for name, value in labels.items()]
    return [{"key": label["key"], "value": label["value"]} for label in labels]
