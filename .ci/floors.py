# ruff: noqa: INP001  a script, not a package
"""Every module stands on a floor of .importlinter, and each below the ports is under the contract of purity.

A module that nobody listed would be checked by nobody.
"""

import configparser
import sys
from pathlib import Path

#: Beside the floors.
BESIDE = {"notifier.emulator", "notifier.client"}
#: One of the ports: what stands below them decides, and is pure.
PORT = "notifier.store.base"
#: Below the ports and not pure: the one reader of the clock.
IMPURE = {"notifier.clock"}


def main() -> int:
    contracts = configparser.ConfigParser()
    contracts.read_string(Path(".importlinter").read_text(encoding="utf-8"))
    words = contracts["importlinter:contract:floors"]["layers"]
    floors = [
        {word.strip("()") for word in line.split() if word not in ":|"} for line in words.splitlines() if line.strip()
    ]
    pure = set(contracts["importlinter:contract:pure"]["source_modules"].split())
    wrong = [f"{module}: on no floor" for module in modules() if not on_a_floor(module, set().union(*floors) | BESIDE)]
    ports = next(number for number, floor in enumerate(floors) if PORT in floor)
    wrong += [
        f"{module}: below the ports, not under the contract of purity"
        for module in set().union(*floors[ports + 1 :]) - pure - IMPURE
    ]
    sys.stdout.writelines(f"{line}\n" for line in sorted(wrong))
    return 1 if wrong else 0


def modules() -> list[str]:
    """All but the packages' own `__init__`, which may only hold names where the package has a floor of its own."""
    files = [file.with_suffix("") for file in sorted(Path("notifier").rglob("*.py")) if file.stat().st_size]
    names = [".".join(file.parts).removesuffix(".__init__") for file in files]
    return [name for name in names if name != "notifier"]


def on_a_floor(module: str, named: set[str]) -> bool:
    return any(module == name or module.startswith(f"{name}.") for name in named)


if __name__ == "__main__":
    raise SystemExit(main())
