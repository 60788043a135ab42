"""`${NAME}` in a value: what is replaced by what, wherever the braces are."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifier.config.expand import expand_text, variables

UNCLOSED = '"${" has no "}" after it. Write ${NAME}, or $$ for a dollar sign.'
#: So many that the test takes minutes if each brace is searched for to the end of the text.
MANY = 500_000


def read(text: str) -> list[tuple[str, str]]:
    """(what it is, its text) of each part, read from the left, one character at a time."""
    parts, at = [], 0
    while at < len(text):
        if text.startswith("$$", at):
            kind, end = "dollar", at + 2
        elif not text.startswith("${", at):
            kind, end = "plain", at + 1
        elif (closed := text.find("}", at)) > 0:
            kind, end = "name", closed + 1
        else:
            kind, end = "unclosed", at + 2
        parts.append((kind, text[at:end]))
        at = end
    return parts


@given(st.text(alphabet="$$${}}AB", max_size=12))
def test_any_text_is_read_from_the_left(text: str) -> None:
    """Each `${` goes to the next `}`, `$$` is a dollar sign, and all else stays as it is."""
    parts, environ = read(text), {"A": "one", "B": "two"}
    names = [part[2:-1] for kind, part in parts if kind == "name"]
    assert variables(text) == names
    if any(kind == "unclosed" for kind, _ in parts) or not set(names) <= environ.keys():
        with pytest.raises(ValueError, match=r"\$\{"):
            expand_text(text, environ)
        return
    made = ["$" if kind == "dollar" else environ[part[2:-1]] if kind == "name" else part for kind, part in parts]
    assert expand_text(text, environ) == "".join(made)


@pytest.mark.parametrize("start", ["", "}", "${A}", "$$"])
def test_a_megabyte_of_braces_that_never_close_is_refused_at_once(start: str) -> None:
    """Each of them is read once, not each with all that follows it."""
    text = start + "${" * MANY
    with pytest.raises(ValueError, match="has no") as refused:
        expand_text(text, {"A": "one"})
    assert str(refused.value) == UNCLOSED
    assert variables(text) == (["A"] if start == "${A}" else [])


def test_a_megabyte_of_variables_is_expanded() -> None:
    """As many as there is room for."""
    assert expand_text("${A}$$" * (MANY // 3), {"A": "one"}) == "one$" * (MANY // 3)
