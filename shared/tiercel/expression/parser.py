"""
Builds the syntax tree: expressions by precedence climbing with Pebble's own table.

The nesting is bounded, so that no text, however odd, can exhaust the stack here or in the evaluation.
"""

from __future__ import annotations

from typing import Final

from tiercel.expression import lexer, nodes
from tiercel.expression.failure import ParseFailed, located
from tiercel.expression.lexer import Token
from tiercel.expression.values import Long

# Stack frames are the cost of one level: some six here, one to three in the evaluation. A level more than this is
# never written by hand.
NESTING_MAX: Final = 60
# A chain such as a + b + c nests to the left, one level an operator, without recursion in the parser.
CHAIN_MAX: Final = 150

UNARY: Final = frozenset({"not", "+", "-"})
UNARY_PRECEDENCE: Final = 500
"""Tighter than every operator between two operands."""
PRECEDENCE: Final = {
    "or": 10,
    "and": 15,
    "is": 20,
    "is not": 20,
    "contains": 20,
    "matches": 20,
    "==": 30,
    "equals": 30,
    "!=": 30,
    ">": 30,
    "<": 30,
    ">=": 30,
    "<=": 30,
    "+": 40,
    "-": 40,
    "*": 60,
    "/": 60,
    "%": 60,
    "|": 100,
    "~": 110,
    "..": 120,
    "??": 120,
    "???": 120,
    "isIn": 120,
    "isNotIn": 120,
}
CONSTANTS: Final[dict[str, bool | None]] = {
    "true": True,
    "TRUE": True,
    "false": False,
    "FALSE": False,
    "null": None,
    "NULL": None,
    "none": None,
    "NONE": None,
}


class ExpressionParser:
    """Reads expressions off a list of tokens; the statement parser builds on it."""

    def __init__(self, template: str) -> None:
        self.template = template
        self.tokens = lexer.tokenize(template)
        self.index = 0
        self.depth = 0

    @property
    def current(self) -> Token:
        return self.tokens[self.index]

    def advance(self) -> Token:
        token = self.tokens[self.index]
        if token.kind != lexer.END:
            self.index += 1
        return token

    def peek(self) -> Token:
        return self.tokens[min(self.index + 1, len(self.tokens) - 1)]

    def at_sign(self, sign: str) -> bool:
        token = self.tokens[self.index]
        return token.kind == lexer.PUNCTUATION and token.value == sign

    def expect(self, kind: str, value: str | None = None) -> Token:
        token = self.current
        if token.kind != kind or (value is not None and token.value != value):
            wanted = f'"{value}"' if value is not None else kind
            raise self.fail(f"Expected {wanted}, but found {_described(token)}.")
        return self.advance()

    def fail(self, message: str) -> ParseFailed:
        return ParseFailed(located(message, self.template, self.current.at))

    def enter(self) -> None:
        self.depth += 1
        if self.depth > NESTING_MAX:
            raise self.fail(f"The template is nested deeper than {NESTING_MAX} levels; split it with 'set'.")

    def expression(self, precedence_min: int = 0) -> nodes.Expression:
        """Read one expression; only at the lowest precedence may a ternary follow."""
        self.enter()
        left = self._operand()
        chain = 0
        while (token := self.current).kind == lexer.OPERATOR:
            precedence = PRECEDENCE.get(token.value)
            if precedence is None or precedence < precedence_min:
                break
            chain += 1
            if chain > CHAIN_MAX and token.value != "~":
                raise self.fail(f"More than {CHAIN_MAX} operators follow one another; split them with 'set'.")
            self.advance()
            left = self._infix(left, token, precedence)
        if precedence_min == 0 and self.at_sign("?"):
            left = self._ternary(left)
        self.depth -= 1
        return left

    def arguments(self) -> nodes.Arguments:
        """Read `(a, b, name=c)`."""
        self.expect(lexer.PUNCTUATION, "(")
        positional: list[nodes.Expression] = []
        named: list[tuple[str, nodes.Expression]] = []
        while not self.at_sign(")"):
            if positional or named:
                self.expect(lexer.PUNCTUATION, ",")
            following = self.peek()
            if following.kind == lexer.PUNCTUATION and following.value == "=":
                name = self.new_name()
                self.advance()
                named.append((name, self.expression()))
            elif named:
                raise self.fail("Positional arguments must be declared before any named arguments.")
            else:
                positional.append(self.expression())
        self.advance()
        return nodes.Arguments(positional=tuple(positional), named=tuple(named))

    def optional_arguments(self) -> nodes.Arguments:
        return self.arguments() if self.at_sign("(") else nodes.Arguments()

    def new_name(self) -> str:
        """Read a name that is about to get a value."""
        token = self.expect(lexer.NAME)
        if token.value in CONSTANTS:
            raise self.fail(f"Can not assign a value to {token.value}.")
        return token.value

    def _infix(self, left: nodes.Expression, token: Token, precedence: int) -> nodes.Expression:
        operator = token.value
        if operator == "|":
            name = self.expect(lexer.NAME)
            return nodes.Filtered(at=name.at, of=left, name=name.value, arguments=self.optional_arguments())
        if operator in ("is", "is not"):
            test = self._test_name()
            arguments = self.optional_arguments()
            return nodes.Tested(at=test.at, of=left, name=test.value, arguments=arguments, negated=operator == "is not")
        right = self.expression(precedence + 1)
        if operator == "~":
            parts = left.parts if isinstance(left, nodes.Joined) else (left,)
            return nodes.Joined(at=token.at, parts=(*parts, right))
        return nodes.Binary(at=token.at, operator=operator, left=left, right=right)

    def _test_name(self) -> Token:
        # `equals` is an operator to the lexer and a test after `is`.
        if self.current.kind == lexer.OPERATOR and self.current.value == "equals":
            return self.advance()
        return self.expect(lexer.NAME)

    def _ternary(self, condition: nodes.Expression) -> nodes.Expression:
        at = self.advance().at
        yes = self.expression()
        self.expect(lexer.PUNCTUATION, ":")
        return nodes.Ternary(at=at, condition=condition, yes=yes, no=self.expression())

    def _operand(self) -> nodes.Expression:
        token = self.current
        if token.kind == lexer.OPERATOR and token.value in UNARY:
            self.advance()
            of = self.expression(UNARY_PRECEDENCE)
            return nodes.Unary(at=token.at, operator=token.value, of=of)
        if self.at_sign("("):
            self.advance()
            inner = self.expression()
            self.expect(lexer.PUNCTUATION, ")")
            return self._postfix(inner)
        if self.at_sign("["):
            return self._postfix(self._list())
        if self.at_sign("{"):
            return self._postfix(self._map())
        return self._postfix(self._simple())

    def _simple(self) -> nodes.Expression:
        token = self.advance()
        match token.kind:
            case lexer.NAME:
                if token.value in CONSTANTS:
                    return nodes.Literal(at=token.at, value=CONSTANTS[token.value])
                if self.at_sign("("):
                    return nodes.Call(at=token.at, name=token.value, arguments=self.arguments())
                return nodes.Name(at=token.at, name=token.value)
            case lexer.NUMBER | lexer.LONG:
                return nodes.Literal(at=token.at, value=self._number(token))
            case lexer.STRING:
                return nodes.Literal(at=token.at, value=token.value)
            case lexer.JOINED_START:
                return self._joined(token.at)
            case _:
                raise ParseFailed(located(f"Unexpected {_described(token)}.", self.template, token.at))

    def _number(self, token: Token) -> float | Long:
        if "." in token.value:
            return float(token.value)
        if len(token.value) > 19 or int(token.value) > Long.MAX:
            raise ParseFailed(located(f"The number {token.value} is too large.", self.template, token.at))
        return Long(token.value)

    def _joined(self, at: int) -> nodes.Expression:
        parts: list[nodes.Expression] = []
        while self.current.kind != lexer.JOINED_END:
            if self.at_sign("#{"):
                self.advance()
                parts.append(self.expression())
                self.expect(lexer.PUNCTUATION, "#}")
            else:
                token = self.expect(lexer.STRING)
                parts.append(nodes.Literal(at=token.at, value=token.value))
        self.advance()
        return nodes.Joined(at=at, parts=tuple(parts))

    def _postfix(self, node: nodes.Expression) -> nodes.Expression:
        length = 0
        while True:
            if self.at_sign("."):
                self.advance()
                node = self._dotted(node)
            elif self.at_sign("["):
                at = self.advance().at
                key = self.expression()
                self.expect(lexer.PUNCTUATION, "]")
                node = nodes.Attribute(at=at, of=node, key=key)
            else:
                return node
            length += 1
            if length > CHAIN_MAX:
                raise self.fail(f"More than {CHAIN_MAX} attributes follow one another.")

    def _dotted(self, node: nodes.Expression) -> nodes.Expression:
        token = self.advance()
        is_word = token.kind == lexer.OPERATOR and token.value.isalpha()
        if not is_word and token.kind not in (lexer.NAME, lexer.NUMBER):
            raise ParseFailed(located(f"Expected a name, but found {_described(token)}.", self.template, token.at))
        if self.at_sign("("):
            arguments = self.arguments()
            if arguments.named:
                raise ParseFailed(located("A method has no named arguments.", self.template, token.at))
            return nodes.MethodCall(at=token.at, of=node, name=token.value, arguments=arguments)
        for part in token.value.split("."):
            node = nodes.Attribute(at=token.at, of=node, key=nodes.Literal(at=token.at, value=part))
        return node

    def _list(self) -> nodes.Expression:
        at = self.advance().at
        items: list[nodes.Expression] = []
        while not self.at_sign("]"):
            if items:
                self.expect(lexer.PUNCTUATION, ",")
            items.append(self.expression())
        self.advance()
        return nodes.ListLiteral(at=at, items=tuple(items))

    def _map(self) -> nodes.Expression:
        at = self.advance().at
        pairs: list[tuple[nodes.Expression, nodes.Expression]] = []
        while not self.at_sign("}"):
            if pairs:
                self.expect(lexer.PUNCTUATION, ",")
            key = self.expression()
            self.expect(lexer.PUNCTUATION, ":")
            pairs.append((key, self.expression()))
        self.advance()
        return nodes.MapLiteral(at=at, pairs=tuple(pairs))


def _described(token: Token) -> str:
    return f'{token.kind} "{token.value}"' if token.value else token.kind
