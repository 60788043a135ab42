"""The options of `notifier emulate` are its settings."""

import inspect
from dataclasses import fields

from notifier.cli.emulate import emulate
from notifier.emulator.settings import EmulatorSettings, FaultSettings


def test_every_setting_is_an_option_with_its_default() -> None:
    """No field is without an option of its name, no option without a field, and no default stands in two places."""
    options = inspect.signature(emulate).parameters
    defaults = {name: option.default for name, option in options.items() if name not in ("host", "port", "create")}
    settings = EmulatorSettings()
    expected = {each.name: getattr(settings, each.name) for each in fields(settings) if each.name != "faults"}
    expected |= {each.name: getattr(settings.faults, each.name) for each in fields(FaultSettings)}
    assert defaults == expected
