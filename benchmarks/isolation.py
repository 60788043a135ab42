"""A healthy endpoint, alone and beside one that hangs and one that fails: what the others cost it.

Latency: from the moment the daemon writes down that it owes the message, which is the `timestamp` in its body, to its
arrival at the healthy receiver. The commit that owes it, the claim that opens its attempt and the POST lie between
them. The timestamp is in whole milliseconds.

In each round a daemon of its own watches generations that complete one after the other, for the healthy endpoint at a
steady pace, for all that hang together at the same pace, and so for all that fail. Rounds alternate: alone, beside the
others, alone, and so on; the figures are over all of a kind. As many generations are watched alone as beside, so that
polling costs the same: those of the others just do not complete. Who hangs takes its requests and never answers: each
holds a slot for its whole timeout of 15 s. Who fails answers 500 at once, and is tried again. 40 messages come to each
of these four seconds before the first healthy one: all slots of who hangs are taken, and both are known for what they
are. Upstream and receivers are processes of their own. On a machine with nothing else to do:

    python benchmarks/isolation.py [--events 500] [--rounds 3] [--hanging 1] [--failing 1] [--directory /var/tmp]
"""

import argparse
import os
import platform
import statistics
import tempfile
import uuid
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from _stations import Station, running

#: Completions a second for the healthy endpoint, for those that hang and for those that fail.
PACE = 50.0
#: Completions for each of the others before the first of the healthy one: more than its concurrency.
BACKLOG = 40
#: Seconds from READY to the first completion, when everything is watched, and on to the first of the healthy one.
LEAD = 1.5
BEFORE = 4.0
#: Wanted at most, in multiples of alone.
P50, P99 = 1.3, 2.5


def one_round(
    directory: Path, upstream: Station, receiver: Station, others: Mapping[str, Station], events: int, *, alone: bool
) -> list[float]:
    """Seconds from owed to arrived, of each of the healthy endpoint's messages. Alone: the others are owed nothing."""
    upstream.ask("forget")
    receiver.ask("forget")
    watched = {"app": steady(["app"], events)}
    for kind in dict.fromkeys(others.values()):
        names = [name for name, station in others.items() if station is kind]
        watched |= {kind.url: steady(names, events)}
    backlog = [Completion(name, LEAD) for name in others for _ in range(BACKLOG)]
    watched["backlog"] = backlog
    with running(
        directory,
        upstream=upstream.url,
        receiver=receiver.url,
        provider={"rate": "1000/s", "poll_every": "200ms"},
        others={name: station.url for name, station in others.items()},
    ) as daemon:
        all_ = [each for some in watched.values() for each in some]
        for name in ("app", *others):
            daemon.put(name, [each.id for each in all_ if each.endpoint == name], notify=name)
        upstream.ask("seen", len(all_))
        completing = watched["app"] if alone else all_
        upstream.ask("complete", {each.id: each.wait for each in completing})
        receiver.ask("came", events)
        waited: list[float] = receiver.ask("waited")
        daemon.process.kill()  # what hangs is not waited for
    return waited


class Completion:
    """One generation, and the seconds until it is completed."""

    def __init__(self, endpoint: str, wait: float) -> None:
        self.id = str(uuid.uuid4())
        self.endpoint = endpoint
        self.wait = wait


def steady(endpoints: Sequence[str], events: int) -> list[Completion]:
    """One after the other, for the endpoints in turn."""
    return [Completion(endpoints[at % len(endpoints)], LEAD + BEFORE + at / PACE) for at in range(events)]


def quantile(values: list[float], hundredth: int) -> float:
    return statistics.quantiles(values, n=100)[hundredth - 1]


def line(name: str, values: list[float]) -> str:
    p50, p99, most = (1000 * each for each in (quantile(values, 50), quantile(values, 99), max(values)))
    return f"{name:34} {len(values):5} callbacks   p50 {p50:6.1f} ms   p99 {p99:6.1f} ms   longest {most:6.1f} ms"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--events", type=int, default=500, help="of each kind and round")
    parser.add_argument("--rounds", type=int, default=3, help="of each kind")
    parser.add_argument("--hanging", type=int, default=1, help="endpoints that hang")
    parser.add_argument("--failing", type=int, default=1, help="endpoints that fail")
    parser.add_argument("--directory", default=None, help="where the stores are made; a real disk")
    asked = parser.parse_args()
    with ExitStack() as opened:
        place = Path(opened.enter_context(tempfile.TemporaryDirectory(dir=asked.directory, ignore_cleanup_errors=True)))
        upstream, receiver, hanging, failing = (
            opened.enter_context(Station(kind)) for kind in ("upstream", "receiver", "hanging", "failing")
        )
        others = {f"hanging{number}": hanging for number in range(asked.hanging)}
        others |= {f"failing{number}": failing for number in range(asked.failing)}
        print(f"Python {platform.python_version()}, {os.cpu_count()} cores")
        print(f"{asked.events} completions of each kind and round, {PACE:.0f} a second")
        print(f"beside: {asked.hanging} that hang, {asked.failing} that fail")
        print("latency: from the body's timestamp to its arrival\n")
        alone: list[float] = []
        beside: list[float] = []
        for number in range(asked.rounds):
            for name, all_ in (("alone", alone), ("beside the others", beside)):
                directory = place / f"{name}-{number}"
                values = one_round(directory, upstream, receiver, others, asked.events, alone=all_ is alone)
                all_.extend(values)
                print(line(f"{name} (round {number + 1})", values), flush=True)
    print()
    print(line("alone", alone))
    print(line("beside the others", beside))
    for hundredth, most in ((50, P50), (99, P99)):
        ratio = quantile(beside, hundredth) / quantile(alone, hundredth)
        print(f"p{hundredth}, beside to alone: {ratio:4.2f} (wanted: {most} at most)")


if __name__ == "__main__":
    main()
