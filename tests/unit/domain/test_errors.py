"""The tree of errors: split by who must act, and each fault with its place."""

import inspect

import pytest

from notifier.domain import errors
from notifier.domain.errors import (
    BatchRejected,
    ConfigError,
    Fault,
    InvalidWatch,
    NotifierError,
    ProviderBusy,
    ProviderError,
    ProviderRefused,
    StoreError,
    StoreRefused,
    StoreUnavailable,
)


def test_everything_raised_on_purpose_has_one_root() -> None:
    """One `except NotifierError` at the command line catches all of them."""
    raised = [each for _, each in inspect.getmembers(errors, inspect.isclass) if issubclass(each, BaseException)]
    assert all(issubclass(each, NotifierError) for each in raised)


def test_the_drawn_tree_is_the_real_one() -> None:
    """The picture in the module's header names every public error."""
    assert errors.__doc__ is not None
    for name, each in inspect.getmembers(errors, inspect.isclass):
        if issubclass(each, BaseException) and not name.startswith("_"):
            assert name in errors.__doc__


@pytest.mark.parametrize("kind", [ProviderBusy, ProviderRefused, BatchRejected])
def test_whoever_asks_a_provider_can_catch_one_kind(kind: type[Exception]) -> None:
    """Time, the operator or the batch: all three are a provider that did not answer."""
    assert issubclass(kind, ProviderError)


def test_those_who_act_are_different_people() -> None:
    """No kind of trouble is caught by who waits for another."""
    kinds = (InvalidWatch, ConfigError, ProviderError, StoreError)
    for one in kinds:
        assert [other for other in kinds if issubclass(one, other)] == [one]
    assert not issubclass(StoreRefused, StoreUnavailable)


@pytest.mark.parametrize(
    ("fault", "shown"),
    [
        (Fault(message="Write a URL."), "Write a URL."),
        (Fault(message="Write a URL.", path="endpoints.studio.url"), "endpoints.studio.url: Write a URL."),
        (Fault(message="Write a URL.", line=7), "7: Write a URL."),
        (
            Fault(message="Write a URL.", path="endpoints.studio.url", line=7, source="/etc/notifier/config.yaml"),
            "/etc/notifier/config.yaml:7: endpoints.studio.url: Write a URL.",
        ),
    ],
)
def test_a_fault_says_where_it_is(fault: Fault, shown: str) -> None:
    """File and line as editors open them, then the place in the document, then the sentence."""
    assert str(fault) == shown


def test_all_faults_are_reported_at_once() -> None:
    """Nobody has to correct one fault to be told of the next."""
    error = ConfigError([Fault(message="One."), Fault(message="Two.")])
    assert str(error) == "One.\nTwo."
    assert [fault.message for fault in error.faults] == ["One.", "Two."]


def test_what_a_provider_said_travels_with_the_error() -> None:
    """How long to wait, and whether size was the trouble, are not left to be read out of a sentence."""
    assert ProviderBusy("429", retry_after=7).retry_after == 7
    assert ProviderBusy("500").retry_after is None
    assert BatchRejected("413", status=413, too_large=True).too_large
    assert BatchRejected("404", status=404).status == 404
