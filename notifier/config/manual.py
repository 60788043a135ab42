"""`docs/configuration.md` and the JSON Schema, made from the sections: the documented name is the one that is read.

`python -m notifier.config > docs/configuration.md` writes the page anew; a test holds the two equal.
"""

import ast
from collections.abc import Iterator, Mapping
from datetime import timedelta
from inspect import cleandoc, getsource
from itertools import pairwise
from typing import Any, Final

from annotated_types import Len

from notifier.config.secret_sources import PLACES
from notifier.config.sections import CONFIG, FIXED, ONE_OR_LIST, SECTIONS, Key, Section
from notifier.config.values import Name, Rate
from notifier.text.printable import Path

_SECRETS: Final = ", ".join(
    dict.fromkeys(f"the values of `{path[-2]}`" if path[-1] == "*" else f"`{path[-1]}`" for path, _ in PLACES)
)
*_OTHERS, _LAST = (f"`{name}`" for name in FIXED)
_HEAD: Final = f"""\
# Configuration

One YAML file, named with `--config FILE`. `config.example.yaml` shows every key in the order a newcomer needs them.
`notifier check` says what is wrong, with file, line and what to write instead, all faults at once. A key that is not in
these tables is refused.

This page is printed by the program: `python -m notifier.config`. With `--schema` it prints a JSON Schema of the file,
for editors that complete keys and mark mistakes while you write. `notifier check` finds more than the schema does.

## Values

- **Durations** have a unit: `1500ms`, `15s`, `5m`, `2h`, `1d`. **Rates** have one too: `5/s`, `300/m`, `1000/h`.
- **`${{NAME}}`** anywhere in a value is replaced by the environment variable `NAME`. That happens after the YAML is
  read, so a variable cannot change the structure of the file. A variable that is not set, or empty, is a fault. `$$` is
  `$`.
- **Secrets** ({_SECRETS}) are text, `${{NAME}}`, `{{file: PATH}}` or
  `{{credential: NAME}}`. `PATH` starts at the configuration file; one newline at the end is dropped, and
  any other blank, empty line or byte order mark around the secret is a fault. `NAME` is a systemd credential
  (`LoadCredential=NAME:PATH` in the unit).
- **A changed secret** acts after a reload where it comes from a file or stands in the configuration. It needs a restart
  where it comes from the environment or is a credential. `notifier check` says which is which.
- **Relative paths** start at the directory of the configuration file.
- A heading with nothing but comments below it counts as not there.
- YAML anchors, aliases, tags, duplicate keys and unquoted dates are refused.
- A reload of a faulty configuration changes nothing. That it was refused is a trouble in readiness and in the status
  line, with file and line, until a reload succeeds.
- A reload refuses a change of {", ".join(_OTHERS)} or {_LAST}: they need a restart.
"""
_TAIL: Final = """
## Watch files and drop files

- A file may hold 16 MiB and 100,000 watches. Large drop files are read one after the other; small ones do not wait.
- **When a drop file is taken:** one that was renamed in, at once; JSON, when its writer closes it; YAML and `.txt`, one
  second after that. notifier asks the kernel whether a program still has the file open for writing. The kernel answers
  for files of notifier's own user; for others' files notifier goes by the events that it saw. A file of another user
  that lay there when notifier started is taken after 10 seconds without change. The sure way is to write `x.tmp` and to
  rename it.
- A program that keeps a file open, and writes nothing for a minute, is not waited for any longer. If the last line has
  no end by then, the file is refused: half an ID could stand there. After the move to `done/` notifier looks once more;
  a file that changed meanwhile is put back and read again. What is written to it later than that is not read; the log
  names the file (`drop.changed`), so that you can drop again what is new.
- **Names that are left alone**, in the drop directory and by the wildcards of `watch_files`: hidden ones (`.x`), `#x#`,
  `~$x`, `x~`, `Thumbs.db`, `desktop.ini`, vim's `4913`, and names that end in `.tmp`, `.temp`, `.part`, `.partial`,
  `.filepart`, `.crdownload`, `.download`, `.swp`, `.bak`, `.orig`, `.old`, `.save`, `.rej`, `.lock` or as package tools
  name what they replace (`.dpkg-old`, `.rpmnew`). A watch file that is named whole, without a wildcard, is always read.
- **A drop directory that cannot be used** stops no callback and no start: it is missing, or every user may write to it,
  or `done/` or `rejected/` is a file, a link or another file system. STATUS says what to do, files wait there, and
  notifier goes on by itself when it is mended. `done/` and `rejected/` are made again when they are taken away.
- **A watch file or directory that cannot be looked at** (permission denied, a link in a circle) is named in STATUS.
  What it declared before stays, and no watch counts as taken out until everything can be seen again.
- Without inotify (its limits are used up) changes are found by looking every few seconds; the log names the limit.

## Proxies and certificates

- A proxy is used where `proxy` names one, for an endpoint or a provider. A `callback_url` never goes through a proxy,
  and `HTTP_PROXY` and its like are ignored. http requests are handed to it, for https it opens a tunnel (CONNECT).
- The proxy resolves the names of what it is asked for, so notifier cannot check the addresses behind it. It checks the
  proxy's own address, and refuses a `url` that is itself a cloud metadata address. What else must not be reached has to
  be refused by the proxy.
- A proxy that says no gives an attempt the verdict `proxy refused`, with its status and never its password.
- Files of `tls` are checked by `notifier check` and at the start. They are read again within a second of a change, at
  the next attempt, so a renewed certificate needs no reload. While `cert` and `key` do not belong together, because one
  of them is not written yet, the pair that was read before goes on; the log says so (`tls.reload_failed`, and
  `tls.reloaded` once both are there).
- `notifier check` and the start say of each of these files when it ends, or that it ended (`tls.expiry`). Within 30
  days of its end the log warns; one that ended is a trouble in STATUS until it is renewed.
- Without `ca` the CA certificates of this machine count (package `ca-certificates`, or `SSL_CERT_FILE` and
  `SSL_CERT_DIR`); they are read again when they change. With `ca` whatever stands in that file vouches, and nobody
  else: a root, an intermediate certificate, or the server's own.
- Any failure of TLS has the verdict `TLS failed`, with a sentence that says what to do.

## Names

- A final dot (`https://app.example.com./hooks`) keeps a name away from the search list of `/etc/resolv.conf`. It is
  used for the look-up, and is not sent in Host or SNI. A `callback_url` with the dot is another endpoint than one
  without it, of the same origin.
- A name that leads to this machine itself, such as `localhost`, is tried at all its addresses (`127.0.0.1` and `::1`).

## What endpoints cost one another

An attempt holds a send slot until it is answered. 512 slots are for the endpoints of the configuration, 256 for origins
of callback URLs that took their last message well, 256 for other origins, and 256 for whoever is slow: an endpoint or
origin whose attempt takes more than two seconds, until one is quick again. Nobody is given more of these than are left
free beside it, and whoever holds none may have one beyond them, so however many hang, the next one finds a slot. There
are 4,096 in all, or as many as `LimitNOFILE` allows: 3,000 origins that hang hold one each, and new ones are tried 256
at a time, the newest among the first.

## A watch

An entry of `watches:`, of a watch file or of a drop file. With one provider and one endpoint only `id` is needed.

| key | what it does |
|---|---|
| `id` | The generation's ID, as the provider gave it. Text: quote it where YAML would read a number. |
| `provider` | The name of a provider. |
| `state` | The target, or a list: `queued`, `running`, `completed` (the default), or the provider's own word. |
| `notify` | The name of an endpoint, or a list of names. |
| `callback_url` | In place of `notify`: a URL. Needs `callbacks:`. |
| `timeout` | Deadline, counted from registration. By default the provider's. |
| `metadata` | A JSON object of up to 4 KiB. It comes back in the callback. |
"""


def reference() -> str:
    """The whole page, in Markdown."""
    return _HEAD + "".join(map(_section, SECTIONS)) + _TAIL


def schema() -> dict[str, Any]:
    """JSON Schema of the file, as it is written. A value that the schema refuses is refused by `load` too."""
    made = CONFIG.json_schema()
    for section in SECTIONS.values():
        part = made["$defs"].get(section.declared.__name__, made)
        part["description"] = cleandoc(section.declared.__doc__ or "")
        for name, says in _descriptions(section).items():
            part["properties"][name]["description"] = says
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **made}


def _section(path: Path) -> str:
    section = SECTIONS[path]
    title = "`" + ".".join("NAME" if step == "*" else str(step) for step in path) + "`" if path else "The file"
    head = ["", f"## {title}", "", cleandoc(section.declared.__doc__ or ""), ""]
    table = ["| key | what it does | default | accepts |", "|---|---|---|---|"]
    return "\n".join([*head, *table, *_rows(section)]) + "\n"


def _rows(section: Section) -> Iterator[str]:
    says = _descriptions(section)
    for name, key in section.keys.items():
        cells = (f"`{name}`", says[name], _default(key), _accepts(name, key))
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _descriptions(section: Section) -> Mapping[str, str]:
    """The string below each key, on one line. Only the source has it: the running program keeps none of them."""
    (declared,) = ast.parse(getsource(section.declared)).body
    return {
        key.target.id: " ".join(text.split())
        for key, below in pairwise(ast.iter_child_nodes(declared))
        if isinstance(key, ast.AnnAssign) and isinstance(key.target, ast.Name)
        if isinstance(below, ast.Expr) and isinstance(text := ast.literal_eval(below.value), str)
    }


def _default(key: Key) -> str:
    if key.required:
        return "**needed**"
    rate = isinstance(key.reading, Rate)
    return "" if key.default in (None, (), {}) else f"`{written(key.default, rate=rate)}`"


def written(value: Any, *, rate: bool = False) -> str:
    """A value as a person writes it in the file."""
    match value:
        case bool():
            return "on" if value else "off"
        case timedelta():
            return _duration(value)
        case list() | tuple():
            return "[" + ", ".join(map(written, value)) + "]"
        case int() | float() if rate:
            return f"{value:g}/s"
        case _:
            return str(value)


def _duration(length: timedelta) -> str:
    if length > timedelta(days=1) and not length % timedelta(days=1):
        return f"{length // timedelta(days=1)}d"
    for unit, one in (("h", timedelta(hours=1)), ("m", timedelta(minutes=1)), ("s", timedelta(seconds=1))):
        if length and not length % one:
            return f"{length // one}{unit}"
    return f"{length // timedelta(milliseconds=1)}ms" if length else "0s"


def _accepts(name: str, key: Key) -> str:
    if key.reading is None:
        return "a list; see *A watch* below" if name == "watches" else "a section; see below"
    accepts = key.reading.accepts
    if key.container is dict:
        return f"a mapping; each {'key' if isinstance(key.reading, Name) else 'value'} is {accepts}"
    if key.container is list:
        most = next((f"1 to {mark.max_length}" for mark in key.marks if isinstance(mark, Len)), "any length")
        return f"{'one or a list' if ONE_OR_LIST in key.marks else 'a list'} of {most}; each entry is {accepts}"
    return accepts
