"""Endpoints' health in the whole daemon: what the configuration says acts, and what the store knows holds."""

from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from notifier.domain.ids import Destination
from notifier.domain.model import DeliveryStatus, Format
from notifier.schemas.build import schema
from notifier.store.sqlite import open_store
from tests.support.daemon_rig import caller, endpoint, up
from tests.support.fakes import START

STUDIO = Destination("studio")


async def test_the_operator_that_the_configuration_names_is_told(tmp_path: Path) -> None:
    """From the reload on that names one: signed, when another endpoint is disabled and when it is enabled."""
    async with up(tmp_path) as place, caller(place) as client:
        await client.done("endpoints/studio/disable", reason="before anybody was to be told")
        await client.done("endpoints/studio/enable")
        both = {"studio": endpoint(place.receiver), "ops": endpoint(place.receiver)}
        await place.running.reload(place.settings(endpoints=both, operator="ops"))
        await client.done("endpoints/studio/disable", reason="the app moves")
        await client.done("endpoints/studio/enable")
        calls = await place.receiver.wait_for(2)
        assert sorted((call.type, call.content["endpoint"], call.content["reason"]) for call in calls) == [
            ("endpoint.disabled", "studio", "the app moves"),
            ("endpoint.recovered", "studio", "the app moves"),
        ]


@pytest.mark.parametrize("format_", Format)
async def test_what_the_operator_gets_is_as_the_schema_says(tmp_path: Path, format_: Format) -> None:
    """Judged on what a receiver gets, with the ID that the daemon gives it."""
    async with up(tmp_path) as place, caller(place) as client:
        both = {"studio": endpoint(place.receiver), "ops": endpoint(place.receiver, format=str(format_))}
        await place.running.reload(place.settings(endpoints=both, operator="ops"))
        await client.done("endpoints/studio/disable", reason="the app moves")
        (call,) = await place.receiver.wait_for(1)
        Draft202012Validator(schema("endpoint.disabled", format_)).validate(call.event)


async def test_a_daemon_that_starts_knows_what_is_disabled(tmp_path: Path) -> None:
    """It is not ready, says why, and sends nothing there; enabled, it is ready and sends what comes."""
    async with open_store(str(tmp_path / "notifier.db")) as store:
        await store.disable_endpoint(STUDIO, now=START, reason="the app moves")
    async with up(tmp_path) as place:
        assert list(place.running.troubles) == ["endpoint studio"]
        first, second = place.emulator.create(2, complete_at=0)
        place.drop("one.json", {"id": first})

        async def parked() -> bool:
            return DeliveryStatus.PARKED in await place.deliveries()

        await place.until(parked)
        await place.running.monitor.enable(STUDIO)
        assert place.running.troubles == {}
        place.drop("two.json", {"id": second})
        (call,) = await place.receiver.wait_for(1)
        assert call.generation_id == second
        assert (await place.deliveries())[DeliveryStatus.PARKED] == 1
