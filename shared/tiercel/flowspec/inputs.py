"""
Inputs of executions: who depends on whom, defaults, types and bounds; and the types of outputs.

Pure: expressions are rendered, files stored and secrets encrypted by callables that the caller hands in. Values come
by the ids of inputs, dotted or nested; those that no input has are left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from tiercel.errors import ExpressionError, InvalidInput, Problem
from tiercel.expression.encryption import is_sealed
from tiercel.expression.nesting import nested
from tiercel.expression.truth import says_true
from tiercel.flowspec.identity import placed_leaves
from tiercel.flowspec.inputbound import choices, violations
from tiercel.flowspec.inputvalue import LIST_TYPES, TEXT_TYPES, cast, shown
from tiercel.model.flow import Dialect, Flow
from tiercel.model.input import Input, InputType
from tiercel.model.mask import STARS
from tiercel.model.property import is_expression

Renderer = Callable[[str, Mapping[str, Any]], Any]
"""Renders a text, keeping the type of a lone expression; raises ExpressionError."""
StoreFile = Callable[[Input, Any], str]
"""Puts what was sent for a FILE input into internal storage and returns its URI; raises ValueError to refuse it."""
Seal = Callable[[str], Any]
"""Encrypts a text, as a value that says so of itself."""

STORED: Final = ("kestra://", "file://", "nsfile://")
_NO_ENCRYPTION: Final = "Unable to use a `SECRET` input/output as encryption is not configured"


class Hooks(msgspec.Struct, frozen=True, kw_only=True):
    """
    What the caller does for typing; without `seal` there are no secrets, without `store_file` no uploads.

    `choice_renderer` renders the choices of inputs where `renderer` masks secrets: what may be chosen is shown.
    """

    renderer: Renderer
    choice_renderer: Renderer | None = None
    store_file: StoreFile | None = None
    seal: Seal | None = None


class InputAndValue(msgspec.Struct, frozen=True, kw_only=True):
    """
    What became of one input.

    `input` has the choices that its expression gave. A disabled input keeps what was sent, untyped.
    """

    input: Input
    value: Any = None
    enabled: bool = True
    is_default: bool = False
    problems: tuple[Problem, ...] = ()


def resolve_inputs(
    flow: Flow,
    values: Mapping[str, Any],
    *,
    renderer: Renderer,
    choice_renderer: Renderer | None = None,
    store_file: StoreFile | None = None,
    encrypt: Seal | None = None,
    execution: Mapping[str, Any] | None = None,
    validate_only: bool = False,
) -> list[InputAndValue]:
    """
    Say of every input of a flow what becomes of it, in the order of the text.

    With `validate_only` secrets are checked and masked, and `store_file` must only name the place.
    """
    context = flow_context(flow, execution)
    hooks = Hooks(renderer=renderer, choice_renderer=choice_renderer, store_file=store_file, seal=encrypt)
    return resolve(flow.inputs, values, hooks, context, dialect=flow.dialect, validate_only=validate_only)


def typed_inputs(
    flow: Flow,
    values: Mapping[str, Any],
    *,
    renderer: Renderer,
    store_file: StoreFile | None = None,
    encrypt: Seal | None = None,
    execution: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the inputs of a new execution, nested at the dots of their ids; raise InvalidInput with all problems."""
    found = resolve_inputs(flow, values, renderer=renderer, store_file=store_file, encrypt=encrypt, execution=execution)
    return nested_values(found)


def flow_context(
    flow: Flow, execution: Mapping[str, Any] | None, labels: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """
    Return what expressions of inputs see, beside the inputs that they depend on.

    `labels` are the execution's; as long as they are not known, the flow's.
    """
    shown_flow = {"id": flow.id, "namespace": flow.namespace, "revision": flow.revision, "tenantId": flow.tenant_id}
    shown_labels = nested((flow.labels if labels is None else labels).items())
    context: dict[str, Any] = {"flow": shown_flow, "vars": flow.variables, "labels": shown_labels}
    if execution is not None:
        context["execution"] = execution
    return context


def nested_values(found: Iterable[InputAndValue]) -> dict[str, Any]:
    """Return the values of the enabled inputs, nested; raise InvalidInput with the problems of all of them."""
    enabled = [each for each in found if each.enabled]
    problems = [problem for each in enabled for problem in each.problems]
    if problems:
        raise InvalidInput(problems)
    return nested((each.input.id, each.value) for each in enabled)


def resolve(
    inputs: Sequence[Input],
    values: Mapping[str, Any],
    hooks: Hooks,
    context: Mapping[str, Any],
    *,
    dialect: Dialect = Dialect.V2,
    validate_only: bool = False,
) -> list[InputAndValue]:
    """Say of every input of a list what becomes of it; forms are replaced by the inputs in them."""
    resolver = _Resolver(inputs, values, hooks, context, dialect, validate_only)
    return [resolver.of(name) for name in resolver.inputs]


class _Resolver:
    """Resolves each input once, after those that it depends on."""

    def __init__(
        self,
        inputs: Sequence[Input],
        values: Mapping[str, Any],
        hooks: Hooks,
        context: Mapping[str, Any],
        dialect: Dialect,
        validate_only: bool,
    ) -> None:
        self.inputs = {leaf.id: leaf for leaf, _ in placed_leaves(inputs, ())}
        self._values = values
        self._hooks = hooks
        self._context = context
        self._dialect = dialect
        self._validate_only = validate_only
        self._done: dict[str, InputAndValue] = {}
        self._open: set[str] = set()

    def of(self, name: str) -> InputAndValue:
        """Return what became of an input; one that waits for itself in a circle counts as disabled."""
        done = self._done.get(name)
        if done is None:
            self._open.add(name)
            done = self._done[name] = self._resolved(self.inputs[name])
            self._open.discard(name)
        return done

    def _resolved(self, each: Input) -> InputAndValue:
        sent = sent_value(self._values, each.id)
        names = each.depends_on.inputs if each.depends_on else ()
        needed = [self.of(name) for name in names if name in self.inputs and name not in self._open]
        seen = nested((other.input.id, other.value) for other in needed if other.enabled)
        context = {**self._context, "inputs": seen}
        try:
            if not self._is_enabled(each, needed, context):
                return InputAndValue(input=each, value=sent, enabled=False)
        except ExpressionError as error:
            return InputAndValue(input=each, value=sent, enabled=False, problems=self._said(each, [str(error)], sent))
        try:
            each = with_choices(each, self._hooks.choice_renderer or self._hooks.renderer, context)
            value, is_default = self._given(each, sent, context)
        except (ExpressionError, ValueError) as error:
            return InputAndValue(input=each, value=sent, problems=self._said(each, [str(error)], sent))
        if value is None:
            problems = (self._missing(each),) if each.required else ()
            return InputAndValue(input=each, is_default=is_default, problems=problems)
        return self._typed(each, value, is_default)

    def _is_enabled(self, each: Input, needed: list[InputAndValue], context: Mapping[str, Any]) -> bool:
        if not all(other.enabled for other in needed):
            return False
        condition = each.depends_on.condition if each.depends_on else None
        if condition is None:
            return True
        return says_true(self._hooks.renderer(condition, context))

    def _given(self, each: Input, sent: Any, context: Mapping[str, Any]) -> tuple[Any, bool]:
        """Return the value to type, and whether it is the default; nothing was given when it is None."""
        if sent is not None and not (sent == "" and each.type not in TEXT_TYPES):
            return sent, False
        default = each.defaults
        if default is None and each.auto_select_first:
            default = first_choice(each)
        if default is None:
            return None, False
        return render_all(default, self._hooks.renderer, context), True

    def _typed(self, each: Input, value: Any, is_default: bool) -> InputAndValue:
        try:
            typed = self._cast(each, value)
            causes = [] if is_sealed(typed) else list(violations(each, typed, self._dialect))
            if each.type is InputType.SECRET and not causes:
                typed = self._sealed(typed)
        except ValueError as error:
            return InputAndValue(
                input=each, value=value, is_default=is_default, problems=self._said(each, [str(error)], value)
            )
        problems = self._said(each, causes, value)
        return InputAndValue(input=each, value=typed, is_default=is_default, problems=problems)

    def _cast(self, each: Input, value: Any) -> Any:
        if each.type is InputType.SECRET and is_sealed(value):
            return value
        if each.type is not InputType.FILE:
            return cast(each.type, value, item=each.item_type, dialect=self._dialect)
        if isinstance(value, str) and value.startswith(STORED):
            return value
        if self._hooks.store_file is None:
            raise ValueError(f"Expected `FILE` but received `{shown(value)}`, which is not in the storage")
        return self._hooks.store_file(each, value)

    def _sealed(self, value: Any) -> Any:
        if self._hooks.seal is None:
            raise ValueError(_NO_ENCRYPTION)
        if is_sealed(value):
            return value
        return STARS if self._validate_only else self._hooks.seal(str(value))

    def _missing(self, each: Input) -> Problem:
        if self._dialect is Dialect.V1:
            return Problem(each.id, f"Invalid input for `{each.id}`, missing required input, but received `null`")
        return Problem(each.id, f"Missing required input:{each.id}")

    def _said(self, each: Input, causes: Iterable[str], value: Any) -> tuple[Problem, ...]:
        if self._dialect is Dialect.V1:
            received = STARS if each.type is InputType.SECRET else shown(value)
            return tuple(
                Problem(each.id, f"Invalid input for `{each.id}`, {cause}, but received `{received}`")
                for cause in causes
            )
        return tuple(Problem(each.id, f"Invalid value for input `{each.id}`. Cause: {cause}") for cause in causes)


def sent_value(values: Mapping[str, Any], name: str) -> Any:
    """Return what was sent for an input: by its dotted id, or within nested maps."""
    if name in values:
        return values[name]
    at: Any = values
    for part in name.split("."):
        at = at.get(part) if isinstance(at, Mapping) else None
    return at


def render_all(value: Any, renderer: Renderer, context: Mapping[str, Any]) -> Any:
    """Render all texts within a value that hold expressions."""
    if isinstance(value, str):
        return renderer(value, context) if is_expression(value) else value
    if isinstance(value, dict):
        return {name: render_all(part, renderer, context) for name, part in value.items()}
    if isinstance(value, list):
        return [render_all(part, renderer, context) for part in value]
    return value


def with_choices(each: Input, renderer: Renderer, context: Mapping[str, Any]) -> Input:
    """
    Return the input with the choices that its expression renders to; any other input comes back as it is.

    Raises ValueError when the expression renders to something else than a list.
    """
    if each.expression is None or each.type not in (InputType.SELECT, InputType.MULTISELECT):
        return each
    rendered = renderer(each.expression, context)
    if isinstance(rendered, str):
        rendered = cast(InputType.JSON, rendered)
    if not isinstance(rendered, list | tuple | set):
        raise ValueError(f"the expression `{each.expression}` must render to a list of values, not `{shown(rendered)}`")
    options = tuple(
        option if isinstance(option, Mapping | str) else shown(option) for option in rendered if option is not None
    )
    return msgspec.structs.replace(each, values=options)


def first_choice(each: Input) -> Any:
    """Return the default of an input that selects its first choice, None when it has no choices."""
    allowed = choices(each)
    if not allowed:
        return None
    return [allowed[0]] if each.type in LIST_TYPES else allowed[0]
