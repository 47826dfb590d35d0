"""
Cuts a template into tokens.

Pebble's lexical rules are kept where a user can see them: words such as `is`, `contains` and `not` are operators,
`-` ends a name, a backslash in a text only hides the quote that follows it, and `{{-` trims when a blank follows.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from tiercel.expression.failure import ParseFailed, located

TEXT: Final = "text"
PRINT_START: Final = "print start"
PRINT_END: Final = "print end"
TAG_START: Final = "tag start"
TAG_END: Final = "tag end"
NAME: Final = "name"
NUMBER: Final = "number"
LONG: Final = "long"
STRING: Final = "string"
JOINED_START: Final = "joined string start"
JOINED_END: Final = "joined string end"
OPERATOR: Final = "operator"
PUNCTUATION: Final = "punctuation"
END: Final = "end of template"


class Token(NamedTuple):
    """One token: its kind, its value and its place in the template."""

    kind: str
    value: str
    at: int


_WORD_OPERATORS = ("is not", "isNotIn", "isIn", "is", "contains", "matches", "equals", "not", "and", "or")
_SIGN_OPERATORS = ("???", "??", "..", "==", "!=", ">=", "<=", ">", "<", "+", "-", "*", "/", "%", "|", "~")
_DELIMITER = re.compile(r"\{\{|\{%|\{#")
_TRIM_BEFORE = re.compile(r"-(?=\s)")
_BLANK = re.compile(r"\s+")
_CLOSE_PRINT = re.compile(r"\s*(-?)\}\}")
_CLOSE_TAG = re.compile(r"\s*(-?)%\}")
_VERBATIM = re.compile(r"-?\s*verbatim\s*(-?)%\}")
_RAW = re.compile(r"\{%-*\s*raw\s*-*%\}.*?\{%-*\s*endraw\s*-*%\}", re.DOTALL)
_VERBATIM_END = re.compile(r"\{%(-?)\s*endverbatim\s*(-?)%\}")
_OPERATOR = re.compile(
    "(?:"
    + "|".join(word.replace(" ", r"\s+") for word in _WORD_OPERATORS)
    + r")(?!\w)|"
    + "|".join(re.escape(sign) for sign in _SIGN_OPERATORS)
)
_NAME = re.compile(r"[^\W\d]\w*")
_NUMBER = re.compile(r"[0-9]+(?:[Ll](?!\w)|\.[0-9]+)?")
_SINGLE_QUOTED = re.compile(r"'([^'\\]*(?:\\.[^'\\]*)*)'", re.DOTALL)
_DOUBLE_QUOTED = re.compile(r'"([^#"\\]*(?:\\.[^#"\\]*)*)"', re.DOTALL)
_DOUBLE_QUOTED_PART = re.compile(r'[^#"\\]*(?:(?:\\.|#(?!\{))[^#"\\]*)*', re.DOTALL)
_PAIRS = {"(": ")", "[": "]", "{": "}"}
_PUNCTUATION = frozenset("()[]{}?:.,=")


def tokenize(template: str) -> list[Token]:
    """Cut a template into tokens; the last one is END."""
    return _Lexer(template).run()


class _Lexer:
    def __init__(self, template: str) -> None:
        self.template = template
        self.at = 0
        self.tokens: list[Token] = []
        self.trim_next = False

    def run(self) -> list[Token]:
        while self.at < len(self.template):
            self._data()
        self.tokens.append(Token(END, "", len(self.template)))
        return self.tokens

    def _fail(self, message: str) -> ParseFailed:
        return ParseFailed(located(message, self.template, self.at))

    def _push(self, kind: str, value: str) -> None:
        self.tokens.append(Token(kind, value, self.at))

    def _data(self) -> None:
        if raw := _RAW.match(self.template, self.at):
            # Raw blocks keep their tags, which the outermost rendering takes away, so that no pass of a recursive
            # rendering looks inside.
            self.trim_next = False
            self._take(TEXT, raw, raw.group())
            return
        match = _DELIMITER.search(self.template, self.at)
        text = self.template[self.at : match.start() if match else len(self.template)]
        if self.trim_next:
            text = text.lstrip()
            self.trim_next = False
        start = self.at
        is_raw = match is not None and _RAW.match(self.template, match.start()) is not None
        if match is None or is_raw:
            self.at = match.start() if match else len(self.template)
            match = None
        else:
            self.at = match.end()
        if match is not None and (trim := _TRIM_BEFORE.match(self.template, self.at)):
            text = text.rstrip()
            self.at = trim.end()
        if text:
            self.tokens.append(Token(TEXT, text, start))
        if match is not None:
            self._delimited(match.group())

    def _delimited(self, delimiter: str) -> None:
        if delimiter == "{#":
            end = self.template.find("#}", self.at)
            if end < 0:
                raise self._fail("Unclosed comment.")
            self.trim_next = self.template[end - 1] == "-" and end > self.at
            self.at = end + 2
        elif delimiter == "{{":
            self._push(PRINT_START, "{{")
            self._until(_CLOSE_PRINT, PRINT_END)
        elif verbatim := _VERBATIM.match(self.template, self.at):
            self._verbatim(verbatim)
        else:
            self._push(TAG_START, "{%")
            self._until(_CLOSE_TAG, TAG_END)

    def _verbatim(self, start: re.Match[str]) -> None:
        end = _VERBATIM_END.search(self.template, start.end())
        if end is None:
            raise self._fail("The 'verbatim' tag is never closed; end it with {% endverbatim %}.")
        text = self.template[start.end() : end.start()]
        text = text.lstrip() if start.group(1) else text
        text = text.rstrip() if end.group(1) else text
        if text:
            self._push(TEXT, text)
        self.trim_next = bool(end.group(2))
        self.at = end.end()

    def _until(self, close: re.Pattern[str], kind: str) -> None:
        brackets: list[str] = []
        while self.at < len(self.template):
            if not brackets and (match := close.match(self.template, self.at)):
                self.trim_next = bool(match.group(1))
                self.at = match.end()
                self._push(kind, "")
                return
            self._expression(brackets)
        wanted = _PAIRS[brackets[-1]] if brackets else ("}}" if kind == PRINT_END else "%}")
        raise self._fail(f'Expected "{wanted}" before the end of the template.')

    def _expression(self, brackets: list[str]) -> None:
        template = self.template
        if blank := _BLANK.match(template, self.at):
            self.at = blank.end()
        elif match := _OPERATOR.match(template, self.at):
            self._take(OPERATOR, match, " ".join(match.group().split()))
        elif match := _NAME.match(template, self.at):
            self._take(NAME, match, match.group())
        elif match := _NUMBER.match(template, self.at):
            is_long = match.group().endswith(("L", "l"))
            self._take(LONG if is_long else NUMBER, match, match.group().rstrip("Ll"))
        elif match := _SINGLE_QUOTED.match(template, self.at):
            self._take(STRING, match, match.group(1).replace("\\'", "'"))
        elif match := _DOUBLE_QUOTED.match(template, self.at):
            self._take(STRING, match, match.group(1).replace('\\"', '"'))
        elif template[self.at] == '"':
            self._joined()
        elif template[self.at] in _PUNCTUATION:
            self._punctuation(template[self.at], brackets)
        else:
            raise self._fail(f"Unexpected character [{template[self.at]}].")

    def _take(self, kind: str, match: re.Match[str], value: str) -> None:
        self._push(kind, value)
        self.at = match.end()

    def _punctuation(self, sign: str, brackets: list[str]) -> None:
        if sign in _PAIRS:
            brackets.append(sign)
        elif sign in ")]}" and (not brackets or _PAIRS[brackets.pop()] != sign):
            raise self._fail(f'Unexpected "{sign}".')
        self._push(PUNCTUATION, sign)
        self.at += 1

    def _joined(self) -> None:
        """Cut a double quoted text that holds `#{…}`."""
        self._push(JOINED_START, '"')
        self.at += 1
        while self.at < len(self.template):
            if self.template[self.at] == '"':
                self._push(JOINED_END, '"')
                self.at += 1
                return
            if self.template.startswith("#{", self.at):
                self.at += 2
                self._interpolation()
                continue
            match = _DOUBLE_QUOTED_PART.match(self.template, self.at)
            if match is None or match.end() == self.at:
                break
            self._take(STRING, match, match.group().replace('\\"', '"'))
        raise self._fail('Unclosed ".')

    def _interpolation(self) -> None:
        brackets: list[str] = []
        self._push(PUNCTUATION, "#{")
        while self.at < len(self.template):
            if blank := _BLANK.match(self.template, self.at):
                self.at = blank.end()
            elif not brackets and self.template[self.at] == "}":
                self._push(PUNCTUATION, "#}")
                self.at += 1
                return
            else:
                self._expression(brackets)
        raise self._fail('Expected "}" before the end of the template.')
