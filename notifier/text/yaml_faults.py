"""What the YAML parser complains of, as a sentence of ours: its own words help nobody who does not know the grammar.

A complaint that is not known here keeps the parser's words. Pure; nothing of the document is quoted but one character
that no text can begin with: the rest may be a secret.
"""

from itertools import islice
from typing import Final

import yaml

from notifier.domain.errors import Fault
from notifier.text.document import MAX_DEPTH
from notifier.text.printable import printable

TOO_DEEP: Final = f"Lists and mappings are more than {MAX_DEPTH} deep here."
NOT_SUPPORTED: Final = "not supported; write the value out. Text that begins with {} goes in quotes."
#: These three may get a hint that only the lines above can give.
COLON: Final = 'Not YAML: a ":" is here, where no key can be.'
STRAY: Final = "Not YAML: this line does not fit what is above it."
OPEN: Final = 'Not YAML: a "," or a closing bracket is missing{}.'
_TAB: Final = "A tab is before the text of this line; YAML takes spaces only. Put spaces in its place."
#: What the parser says -> what we say. {} is where the thing began, if that is another line.
_WORDS: Final = {
    "mapping values are not allowed in this context": COLON,
    "did not find expected key": STRAY,
    "did not find expected <document start>": STRAY,
    "did not find expected ',' or ']'": OPEN,
    "did not find expected ',' or '}'": OPEN,
    "did not find expected node content": "Not YAML: a value is missing here, or a bracket has no partner.",
    "did not find expected '-' indicator": "Not YAML: this line is in a list, and does not begin with a dash.",
    "block sequence entries are not allowed in this context": "Not YAML: a list begins on a line of its own, below its "
    "key.",
    "could not find expected ':'": 'Not YAML: a ":" is missing{}.',
    "found unexpected end of stream": "Not YAML: quotes are not closed{}.",
    "did not find expected comment or line break": "Not YAML: text that begins with | or > goes in quotes.",
}  # fmt: skip
_ANCHORS: Final = {"while scanning an alias": "*", "while scanning an anchor": "&", "while scanning a tag": "!"}
#: Its complaints about what comes after a backslash.
_ESCAPES: Final = ("found unknown escape character", "did not find expected hex")
_ESCAPE: Final = "Not YAML: a backslash in double quotes begins an escape. Write two of them, or use single quotes."
_FIRST: Final = "found character that cannot start any token"
_DIRECTIVE: Final = "while scanning a directive"


def syntax_fault(error: yaml.YAMLError, text: str) -> Fault:
    """The complaint in one sentence, with its line."""
    if not isinstance(error, yaml.MarkedYAMLError):
        position = getattr(error, "position", None)
        line = None if not isinstance(position, int) else text.encode().count(b"\n", 0, position) + 1
        reason = printable(str(getattr(error, "reason", "")) or "it cannot be read", 200)
        return Fault(message=f"Not YAML: {reason}.", line=line)
    mark = error.problem_mark or error.context_mark
    line = None if mark is None else mark.line + 1
    if "nesting depth" in (error.problem or ""):  # libyaml's own limit: its scanner reads ahead of the events
        return Fault(message=TOO_DEEP, line=line)
    if mark is not None and _tab_at(text, mark):
        return Fault(message=_TAB, line=line)
    return Fault(message=_said(error, text), line=line)


def _said(error: yaml.MarkedYAMLError, text: str) -> str:
    problem, context = error.problem or "", error.context or ""
    if (begins := _ANCHORS.get(context)) or context == _DIRECTIVE:
        return f"Not YAML: text that begins with {begins or '%'} goes in quotes."
    if problem == _FIRST and error.problem_mark is not None:
        return f"Not YAML: text cannot begin with {_character(text, error.problem_mark)}; put it in quotes."
    if problem.startswith(_ESCAPES):
        return _ESCAPE
    if (words := _WORDS.get(problem)) is not None:
        begun, met = error.context_mark, error.problem_mark
        if begun is None or met is None or begun.line == met.line:
            return words.format("")
        return words.format(f"; look from line {begun.line + 1} on")
    return f"Not YAML: {printable(', '.join(part for part in (context, problem) if part), 200)}."


def _line_at(text: str, mark: yaml.Mark) -> str:
    return next(islice(text.splitlines(), mark.line, None), "")


def _character(text: str, mark: yaml.Mark) -> str:
    found = _line_at(text, mark)[mark.column : mark.column + 1]
    return printable(found, 8) if found.strip() else "this character"


def _tab_at(text: str, mark: yaml.Mark) -> bool:
    """Whether a tab is before the text of the line that the parser could not go on in."""
    line = _line_at(text, mark)
    begins = len(line) - len(line.lstrip(" \t-?"))
    return "\t" in line[:begins]
