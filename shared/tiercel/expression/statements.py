"""Parses the tags around expressions: if, for, set, macro, block and filter."""

from __future__ import annotations

from tiercel.expression import lexer, nodes
from tiercel.expression.parser import ExpressionParser


def parse(template: str) -> nodes.Template:
    """Parse a template, or raise ParseFailed with the place."""
    parser = _StatementParser(template)
    return nodes.Template(text=template, body=parser.body(()))


class _StatementParser(ExpressionParser):
    def body(self, until: tuple[str, ...]) -> nodes.Body:
        """Read statements up to a tag of one of these names, which is left to the caller, or to the end."""
        self.enter()
        statements: list[nodes.Statement] = []
        while (token := self.current).kind != lexer.END:
            if token.kind == lexer.TEXT:
                self.advance()
                statements.append(nodes.Text(at=token.at, text=token.value))
            elif token.kind == lexer.PRINT_START:
                self.advance()
                statements.append(nodes.Print(at=token.at, expression=self.expression()))
                self.expect(lexer.PRINT_END)
            else:
                if self.peek().value in until:
                    self.depth -= 1
                    return tuple(statements)
                statements.append(self._tag())
        if until:
            raise self.fail(f"A tag is never closed; expected {{% {until[-1]} %}}.")
        self.depth -= 1
        return tuple(statements)

    def _tag(self) -> nodes.Statement:
        self.expect(lexer.TAG_START)
        token = self.expect(lexer.NAME)
        match token.value:
            case "if":
                return self._if(token.at)
            case "for":
                return self._for(token.at)
            case "set":
                return self._set(token.at)
            case "macro":
                return self._macro(token.at)
            case "block":
                return self._block(token.at)
            case "filter":
                return self._filter(token.at)
            case _:
                self.index -= 1
                raise self.fail(f'Unexpected tag name "{token.value}".')

    def _close(self, *names: str) -> str:
        self.expect(lexer.TAG_START)
        name = self.expect(lexer.NAME).value
        if name not in names:
            raise self.fail(f"Expected {{% {names[-1]} %}}, but found {{% {name} %}}.")
        return name

    def _if(self, at: int) -> nodes.Statement:
        branches: list[tuple[nodes.Expression, nodes.Body]] = []
        otherwise: nodes.Body = ()
        closing = "elseif"
        while closing == "elseif":
            condition = self.expression()
            self.expect(lexer.TAG_END)
            branches.append((condition, self.body(("elseif", "else", "endif"))))
            closing = self._close("elseif", "else", "endif")
        self.expect(lexer.TAG_END)
        if closing == "else":
            otherwise = self._rest("endif")
        return nodes.If(at=at, branches=tuple(branches), otherwise=otherwise)

    def _rest(self, closing: str) -> nodes.Body:
        body = self.body((closing,))
        self._close(closing)
        self.expect(lexer.TAG_END)
        return body

    def _for(self, at: int) -> nodes.Statement:
        variable = self.new_name()
        self.expect(lexer.NAME, "in")
        iterable = self.expression()
        self.expect(lexer.TAG_END)
        body = self.body(("else", "endfor"))
        closing = self._close("else", "endfor")
        self.expect(lexer.TAG_END)
        otherwise = self._rest("endfor") if closing == "else" else ()
        return nodes.For(at=at, variable=variable, iterable=iterable, body=body, otherwise=otherwise)

    def _set(self, at: int) -> nodes.Statement:
        name = self.new_name()
        self.expect(lexer.PUNCTUATION, "=")
        expression = self.expression()
        self.expect(lexer.TAG_END)
        return nodes.Assign(at=at, name=name, expression=expression)

    def _macro(self, at: int) -> nodes.Statement:
        name = self.new_name()
        parameters: list[tuple[str, nodes.Expression | None]] = []
        self.expect(lexer.PUNCTUATION, "(")
        while not self.at_sign(")"):
            if parameters:
                self.expect(lexer.PUNCTUATION, ",")
            parameter = self.new_name()
            default = None
            if self.at_sign("="):
                self.advance()
                default = self.expression()
            parameters.append((parameter, default))
        self.advance()
        self.expect(lexer.TAG_END)
        return nodes.Macro(at=at, name=name, parameters=tuple(parameters), body=self._rest_named("endmacro"))

    def _block(self, at: int) -> nodes.Statement:
        # A block may be named by a text or by a bare word.
        if self.current.kind not in (lexer.STRING, lexer.NAME):
            raise self.fail("A block needs a name.")
        name = self.advance().value
        self.expect(lexer.TAG_END)
        return nodes.Block(at=at, name=name, body=self._rest_named("endblock"))

    def _rest_named(self, closing: str) -> nodes.Body:
        body = self.body((closing,))
        self._close(closing)
        # The closing tag may repeat the name.
        if self.current.kind in (lexer.STRING, lexer.NAME):
            self.advance()
        self.expect(lexer.TAG_END)
        return body

    def _filter(self, at: int) -> nodes.Statement:
        filters: list[tuple[str, nodes.Arguments, int]] = []
        while not filters or self.current.kind == lexer.OPERATOR:
            if filters:
                self.expect(lexer.OPERATOR, "|")
            name = self.expect(lexer.NAME)
            filters.append((name.value, self.optional_arguments(), name.at))
        self.expect(lexer.TAG_END)
        return nodes.FilterBlock(at=at, filters=tuple(filters), body=self._rest("endfilter"))
