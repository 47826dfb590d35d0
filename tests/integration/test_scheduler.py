"""The scheduler on a backend in memory: every date fires once, with any number of schedulers."""

from __future__ import annotations

import concurrent.futures
from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.integration.scheduling import World, begin, crash, settle, uid_of, utc
from tiercel.messages.broadcast import FlowUpdated
from tiercel.messages.execution_event import CreateExecution
from tiercel.messages.topics import BROADCAST
from tiercel.model.state import State
from tiercel.queue.base import Outgoing
from tiercel.schedule.cron import parse_cron
from tiercel.schedule.timetable import CronTimetable
from tiercel.schedule.zone import find_zone
from tiercel.scheduler.service import SchedulerService
from tiercel.testing.virtual_time import LoopClock, run_virtual

SCHEDULE = "io.kestra.plugin.core.trigger.Schedule"
ZONES = ("Europe/Paris", "America/New_York", "Australia/Sydney", "Australia/Lord_Howe")
HOURLY = {"id": "trigger", "type": SCHEDULE, "cron": "0 * * * *"}


def next_wake(*schedulers: SchedulerService) -> datetime | None:
    wakes = [wake for scheduler in schedulers if (wake := scheduler.next_wake()) is not None]
    return min(wakes) if wakes else None


def crons(count: int) -> list[tuple[str, str, str]]:
    """Return (id, cron, zone): mostly fixed times around the change of the clock, and patterns that repeat."""
    found = []
    for number in range(count):
        zone = ZONES[number % len(ZONES)]
        minute = number % 60
        shape = number % 10
        if shape < 8:
            cron = f"{minute} {1 + number % 3} * * *"
        elif shape == 8:
            cron = f"{minute} 2 * * SUN"
        else:
            cron = f"{minute} */12 * * *"
        found.append((f"t{number}", cron, zone))
    return found


# Paris, then Sydney and Lord Howe put their clocks back or forward; Paris, then New York.
@pytest.mark.parametrize(
    ("start", "count"), [("2024-03-30T00:00:00+00:00", 10_000), ("2024-10-26T00:00:00+00:00", 1000)]
)
async def test_three_schedulers_fire_every_date_once_over_changes_of_the_clock(
    tmp_path: Path, start: str, count: int
) -> None:
    """Up to 10,000 triggers in four zones; one scheduler is dropped in the middle without a word."""
    world = World(tmp_path, utc(start))
    end = utc(start) + timedelta(days=11)
    wanted: Counter[tuple[str, datetime]] = Counter()
    by_flow: dict[str, list[dict[str, Any]]] = {}
    for trigger_id, cron, zone in crons(count):
        concurrent = int(trigger_id[1:]) % 2 == 0
        trigger = {"id": trigger_id, "type": SCHEDULE, "cron": cron, "timezone": zone, "allowConcurrent": concurrent}
        flow_id = f"flow{int(trigger_id[1:]) // 50}"
        by_flow.setdefault(flow_id, []).append(trigger)
        table, at = CronTimetable(parse_cron(cron), find_zone(zone)), utc(start)
        while (date := table.after(at)) is not None and date <= end:
            wanted[f"{flow_id}/{trigger_id}", date] += 1
            at = date
    for flow_id, triggers in by_flow.items():
        await world.deploy(triggers, flow_id)
    schedulers = [world.scheduler(horizon_s=86_400.0) for _ in range(3)]
    await begin(*schedulers)
    assert all(scheduler.owned for scheduler in schedulers)

    fired: Counter[tuple[str, datetime]] = Counter()
    ids: set[str] = set()
    while (wake := next_wake(*schedulers)) is not None and wake <= end:
        world.fake.set(wake)
        if len(schedulers) == 3 and wake > utc(start) + timedelta(days=5):
            gone = schedulers.pop()
            await world.backend.leave("scheduler", gone.instance)
            await begin(*schedulers)
        await settle(*schedulers)
        for command in await world.created():
            assert command.trigger is not None
            assert command.schedule_date is not None
            fired[f"{command.flow_id}/{command.trigger.id}", command.schedule_date] += 1
            ids.add(command.execution_id)
            await world.end(command)
        await settle(*schedulers)

    assert sum(wanted.values()) >= 10 * count
    assert wanted == fired
    assert sum(wanted.values()) == len(ids)


async def test_a_scheduler_that_lost_its_lease_saves_nothing(tmp_path: Path) -> None:
    """Two believe to own a partition; the fence lets one of them fire."""
    world = World(tmp_path, utc("2024-07-15T10:30:00+00:00"))
    await world.deploy([HOURLY])
    old = world.scheduler()
    await begin(old)
    await world.backend.leave("scheduler", old.instance)
    new = world.scheduler()
    await begin(new)
    world.fake.set(utc("2024-07-15T11:00:00+00:00"))

    await old.fire()
    await new.fire()

    assert [utc("2024-07-15T11:00:00+00:00")] == [command.schedule_date for command in await world.created()]
    assert 15 == len(old.owned)


async def test_the_loops_follow_the_clock_news_and_ends_by_themselves(tmp_path: Path) -> None:
    """With real loops on a virtual day: dates fire in time, a new flow is followed, an end unlocks."""

    async def day() -> list[tuple[str, str]]:
        clock = LoopClock(utc("2024-07-15T00:30:00+00:00"))
        world = World(tmp_path, clock.now(), clock)
        await world.deploy([HOURLY])
        seen: list[tuple[str, str]] = []
        settings = {"lease_ttl_s": 10.0, "lock_check_s": 1e6}
        async with world.scheduler(**settings), world.scheduler(**settings):
            for hour in range(1, 6):
                # Virtual time: it passes at once.
                await clock.sleep((utc(f"2024-07-15T0{hour}:00:01+00:00") - clock.now()).total_seconds())
                commands = await world.created()
                seen += [(uid_of(command).rpartition("/")[0], clock.now().strftime("%H:%M")) for command in commands]
                if hour != 3:
                    for command in commands:
                        await world.end(command)
                if hour == 1:
                    await world.deploy([HOURLY], "second")
                    news = FlowUpdated(tenant_id="main", namespace="io.kestra.unittest", flow_id="second", revision=1)
                    await world.backend.emit(Outgoing(topic=BROADCAST, key="", message=news))
        return seen

    first, second = "main/io.kestra.unittest/test", "main/io.kestra.unittest/second"

    seen = run_in_thread(day)

    assert Counter({(first, "01:00"): 1, (first, "02:00"): 1, (second, "02:00"): 1, (first, "03:00"): 1,
                    (second, "03:00"): 1}) == Counter(seen)  # fmt: skip


@pytest.mark.parametrize("clean", [True, False])
def test_what_a_scheduler_leaves_behind_goes_on_with_another(tmp_path: Path, clean: bool) -> None:
    """A stop hands over at once, a crash within the leases' time; states that need no change fire too."""

    async def day() -> dict[datetime | None, int]:
        clock = LoopClock(utc("2024-07-15T00:30:00+00:00"))
        world = World(tmp_path, clock.now(), clock)
        await world.deploy([{**HOURLY, "id": f"t{number}", "allowConcurrent": True} for number in range(40)])
        first = world.scheduler(lease_ttl_s=10.0)
        await first.__aenter__()
        async with world.scheduler(lease_ttl_s=10.0), world.scheduler(lease_ttl_s=10.0):
            await clock.sleep(3600.0)  # virtual time: it passes at once
            if clean:
                await first.__aexit__()
            else:
                crash(first)
            await clock.sleep(2 * 3600.0)  # virtual time: it passes at once
        return Counter(command.schedule_date for command in await world.created())

    assert {utc(f"2024-07-15T0{hour}:00:00+00:00"): 40 for hour in (1, 2, 3)} == run_virtual(day())


def run_in_thread(main: Any) -> Any:
    """Run on a loop whose time jumps, beside the one of the test."""
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        return pool.submit(lambda: run_virtual(main())).result()


async def created_at(world: World, scheduler: SchedulerService, instant: str) -> list[CreateExecution]:
    """Move the clock, let the scheduler work, return what it made."""
    world.fake.set(utc(instant))
    await settle(scheduler)
    return await world.created()


async def test_a_trigger_waits_for_its_execution_and_then_catches_up(tmp_path: Path) -> None:
    """Dates that come while an execution runs fire one after the other, when it has ended."""
    world = World(tmp_path, utc("2024-07-15T10:30:00+00:00"))
    await world.deploy([HOURLY])
    scheduler = world.scheduler()
    await begin(scheduler)
    first = await created_at(world, scheduler, "2024-07-15T11:00:00+00:00")

    assert [] == await created_at(world, scheduler, "2024-07-15T13:30:00+00:00")
    state = await world.state()
    assert state is not None
    assert (True, first[0].execution_id) == (state.locked, state.execution_id)
    assert state.why is not None
    assert first[0].execution_id in state.why

    await world.end(first[0])
    second = await created_at(world, scheduler, "2024-07-15T13:30:01+00:00")
    assert [utc("2024-07-15T12:00:00+00:00")] == [command.schedule_date for command in second]


async def test_a_lock_that_nobody_knows_is_released_by_the_check(tmp_path: Path) -> None:
    """An execution that the state store has not known for an hour does not lock a trigger for ever."""
    world = World(tmp_path, utc("2024-07-15T10:30:00+00:00"))
    await world.deploy([HOURLY])
    scheduler = world.scheduler()
    await begin(scheduler)
    await created_at(world, scheduler, "2024-07-15T11:00:00+00:00")
    world.fake.set(utc("2024-07-15T11:30:00+00:00"))
    await scheduler.check_locks()
    state = await world.state()
    assert state is not None
    assert state.locked

    world.fake.set(utc("2024-07-15T12:00:00+00:00"))
    await scheduler.check_locks()

    state = await world.state()
    assert state is not None
    assert not state.locked


async def test_an_end_in_a_state_of_stop_after_disables_the_trigger(tmp_path: Path) -> None:
    """`stopAfter` names the states."""
    world = World(tmp_path, utc("2024-07-15T10:30:00+00:00"))
    await world.deploy([{**HOURLY, "stopAfter": ["FAILED"]}])
    scheduler = world.scheduler()
    await begin(scheduler)
    (first,) = await created_at(world, scheduler, "2024-07-15T11:00:00+00:00")
    await world.end(first, State.SUCCESS)
    (second,) = await created_at(world, scheduler, "2024-07-15T12:00:00+00:00")
    await world.end(second, State.FAILED)

    assert [] == await created_at(world, scheduler, "2024-07-15T13:00:00+00:00")
    state = await world.state()
    assert state is not None
    assert state.disabled


async def test_a_backfill_runs_over_its_stretch_and_gives_the_date_back(tmp_path: Path) -> None:
    """Start and end are included; pause holds it; the schedule goes on afterwards."""
    world = World(tmp_path, utc("2024-07-15T10:30:00+00:00"))
    await world.deploy([{**HOURLY, "allowConcurrent": True}])
    scheduler = world.scheduler()
    await begin(scheduler)
    await world.command(
        "backfill-create",
        start="2024-07-14T08:00:00Z",
        end="2024-07-14T10:00:00Z",
        labels=[{"key": "why", "value": "lost"}],
        paused=True,
    )
    assert [] == await created_at(world, scheduler, "2024-07-15T10:31:00+00:00")
    await world.command("backfill-continue")

    made = await created_at(world, scheduler, "2024-07-15T10:32:00+00:00")

    assert [8, 9, 10] == [command.schedule_date.hour for command in made if command.schedule_date]
    assert all(("why", "lost") in command.labels for command in made)
    assert 3 == len({command.execution_id for command in made})
    state = await world.state()
    assert state is not None
    assert (None, utc("2024-07-15T11:00:00+00:00")) == (state.backfill, state.next_evaluation_date)


async def test_a_new_revision_moves_the_next_date_and_a_gone_trigger_is_forgotten(tmp_path: Path) -> None:
    """The state follows the definition."""
    world = World(tmp_path, utc("2024-07-15T10:30:00+00:00"))
    await world.deploy([HOURLY])
    scheduler = world.scheduler()
    await begin(scheduler)
    await world.deploy([{**HOURLY, "cron": "*/5 * * * *"}])
    await scheduler.follow("main", "io.kestra.unittest", "test")
    state = await world.state()
    assert state is not None
    assert utc("2024-07-15T10:35:00+00:00") == state.next_evaluation_date

    await world.deploy([{**HOURLY, "id": "other"}])
    await scheduler.follow("main", "io.kestra.unittest", "test")

    assert await world.state() is None
    assert await world.state("other") is not None


async def test_an_input_that_cannot_be_read_fails_its_execution_and_nothing_else(tmp_path: Path) -> None:
    """What it names cannot be a key: the author is told, and the other trigger fires as if nothing were."""
    world = World(tmp_path, utc("2024-07-15T00:30:00+00:00"))
    bad = {**HOURLY, "id": "bad", "inputs": {"word": "{{ kv('not a key!') }}"}}
    good = {**HOURLY, "id": "good", "inputs": {"word": "fine"}}
    await world.deploy([bad, good], inputs=[{"id": "word", "type": "STRING"}])
    scheduler = world.scheduler()
    await begin(scheduler)
    world.fake.advance(3600)
    await settle(scheduler)

    commands = {command.trigger.id: command for command in await world.created() if command.trigger is not None}

    assert {"bad", "good"} == commands.keys()
    assert commands["good"].failed is None
    assert "Key must start with an alphanumeric character" in (commands["bad"].failed or "")
