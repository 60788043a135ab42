"""What the command line says about wrong words: which ones were meant, and what to write. And its help, without types.

typer parses and prints; this module has only the sentences, for a person who uses this program for the first time. A
guess is made only if the word is close to one that exists.
"""

import difflib
import os
import re
import shlex
from collections.abc import Iterable, Sequence
from typing import Any, Final

import typer
from typer.core import TyperCommand, TyperGroup

from notifier.text.printable import printable

#: What pydantic, which may check the values for typer, says of one, and what we say.
_WORDS: Final = (
    (re.compile(r"^Value error, "), ""),
    (re.compile(r"^Input should be "), "it must be "),
    (re.compile(r", unable to (parse|interpret) .*$"), ""),
    (re.compile(r"\ba valid integer\b"), "a whole number"),
    (re.compile(r"\ba valid number\b"), "a number"),
    (re.compile(r"\bless than or equal to\b"), "at most"),
    (re.compile(r"\bgreater than or equal to\b"), "at least"),
)
#: How typer writes the type of an argument, and bounds; in the help of an option its metavar says the type.
_TYPE: Final = re.compile(r" <(str|int|float)>$")
_BOUNDS: Final = ((re.compile(r"([\d.]+)<=x<=([\d.]+)"), r"from \1 to \2"), (re.compile(r"x>=([\d.]+)"), r"\1 or more"))
_DAEMON: Final = "`systemctl {} notifier` does that for the service"
#: Words of other programs, and what to write here.
_ELSEWHERE: Final = {
    **dict.fromkeys(
        ("start", "serve", "daemon", "up"),
        f"Did you mean run? `notifier run` is the daemon; {_DAEMON.format('start')}.",
    ),
    "status": "`notifier list` shows what is watched and `notifier endpoints` the state of each endpoint; "
    "`systemctl status notifier` says how the service is.",
    "stop": f"Ctrl-C ends a `notifier run`; {_DAEMON.format('stop')}.",
    "restart": f"Ctrl-C ends a `notifier run`; {_DAEMON.format('restart')}.",
    "reload": f"SIGHUP has a `notifier run` read its configuration again; {_DAEMON.format('reload')}.",
    "logs": "`notifier run` writes its log to standard error; `journalctl -u notifier` shows that of the service.",
    **dict.fromkeys(("ls", "watches"), "Did you mean list?"),
    **dict.fromkeys(("get", "inspect", "describe"), "Did you mean show?"),
    **dict.fromkeys(("validate", "lint", "doctor"), "Did you mean check?"),
    **dict.fromkeys(("resend", "retry", "replay"), "Did you mean redeliver?"),
    **dict.fromkeys(("delete", "remove", "rm"), "Did you mean cancel?"),
    **dict.fromkeys(("add", "watch", "register"), "What to watch is declared in the configuration, or in a file that "
    "is put into the drop directory."),
    **dict.fromkeys(("keygen", "key"), "Did you mean secret new?"),
    "restore": "`notifier backup` says how one is restored.",
    "help": "`notifier --help` lists the commands, `notifier COMMAND --help` explains one.",
    "version": "Did you mean --version?",
}  # fmt: skip
#: How close a word must be to one that exists, from 0 to 1.
_CLOSE: Final = 0.75


class Commands(TyperGroup):
    """The commands; a refusal is in plain words."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0].startswith("-") and _option(args[0]) not in {"--help", "--version"}:
            first = printable(args[0], 64)
            ctx.fail(f"{first} comes before the command. Options come after it: {ctx.command_path} run --config FILE.")
        return super().parse_args(ctx, args)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args and self.get_command(ctx, args[0]) is None:
            ctx.fail(no_command(args[0], self.list_commands(ctx)))
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except typer.BadParameter as error:
            for pattern, words in _WORDS:
                error.message = pattern.sub(words, error.message)
            raise


class Command(TyperCommand):
    """One command. Its `epilog` is an example, which is also printed if something is missing."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        given = list(args)
        ctx.allow_extra_args = True  # refused below, with a better sentence
        try:
            rest = super().parse_args(ctx, args)
        except typer.BadParameter as error:
            if not error.message:  # it is missing
                error.message = self.epilog or ""
            raise
        if rest and not ctx.resilient_parsing:
            takes_config = any(param.name == "config" for param in self.params)
            ctx.fail(too_many(ctx.command_path, given, rest[0], takes_config=takes_config))
        return rest

    def format_options(self, ctx: Any, formatter: Any) -> None:
        records = [(param, param.get_help_record(ctx)) for param in self.get_params(ctx)]
        for title, kind in (("Arguments", "argument"), ("Options", "option")):
            shown = [_plain(*record) for param, record in records if record and param.param_type_name == kind]
            if shown:
                with formatter.section(title):
                    formatter.write_dl(shown)


def no_command(word: str, commands: Sequence[str]) -> str:
    """What to say of a first word that names no command."""
    shown = f'"{printable(word, 64)}" is not a command.'
    if _names_configuration(word):
        return f"{shown} {_behind(['notifier', 'run', '--config', word])}"
    for meant in difflib.get_close_matches(word.lower()[:64], [*commands, *_ELSEWHERE], n=1, cutoff=_CLOSE):
        return f"{shown} {_ELSEWHERE.get(meant, f'Did you mean {meant}?')}"
    return shown


def too_many(command: str, given: Sequence[str], extra: str, *, takes_config: bool) -> str:
    """What to say of `extra`, which `command` has no place for; `given` is all that comes after it."""
    if takes_config and _names_configuration(extra) and "--config" not in map(_option, given):
        at = len(given) - 1 - list(reversed(given)).index(extra)
        return _behind([*command.split(), *given[:at], "--config", *given[at:]])
    shown = f'{command} has no place for "{printable(extra, 64)}".'
    return f"{shown} Did you mean `notifier show`? It shows one generation." if command.endswith(" list") else shown


def _behind(words: Iterable[str]) -> str:
    return f"The configuration goes behind --config: {shlex.join(words)}"


def _names_configuration(word: str) -> bool:
    return word.endswith((".yaml", ".yml")) or ("/" in word and os.path.isfile(word))  # noqa: PTH113  never raises


def _option(word: str) -> str:
    return word.partition("=")[0]


def _plain(name: str, help_: str) -> tuple[str, str]:
    for pattern, words in _BOUNDS:
        help_ = pattern.sub(words, help_)
    return _TYPE.sub("", name), help_
