"""The flows of a siege, and what each execution of them must look like when it is over."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

FILE_SIZE: Final = 6_000_000
"""More than the smallest part of a bucket's file, so that a store can die between two parts."""
_PROCESS: Final = "taskRunner:\n      type: io.kestra.plugin.core.runner.Process"


class SiegeFlow(msgspec.Struct, frozen=True, kw_only=True):
    """A flow, how many task runs of each task an execution has, what it logs, and how many executions it starts."""

    id: str
    source: str
    runs: Mapping[str, int]
    lines: tuple[str, ...] = ()
    """Messages that its log must hold: at least once, because the code of a task may run twice."""
    children: int = 0


STEPS: Final = SiegeFlow(
    id="steps",
    runs={"first": 1, "second": 1, "third": 1},
    lines=("the first says 1",),
    source="""\
id: steps
namespace: siege
tasks:
  - id: first
    type: io.kestra.plugin.core.debug.Return
    format: "1"
  - id: second
    type: io.kestra.plugin.core.log.Log
    message: "the first says {{ outputs.first.value }}"
  - id: third
    type: io.kestra.plugin.core.debug.Return
    format: "{{ outputs.first.value }}"
""",
)
LOOP: Final = SiegeFlow(
    id="loop",
    runs={"each": 1, "item": 6},
    source="""\
id: loop
namespace: siege
tasks:
  - id: each
    type: io.kestra.plugin.core.flow.ForEach
    values: [a, b, c, d, e, f]
    concurrencyLimit: 2
    tasks:
      - id: item
        type: io.kestra.plugin.core.debug.Return
        format: "{{ taskrun.value }}"
""",
)
PARALLEL: Final = SiegeFlow(
    id="parallel",
    runs={"both": 1, "left": 1, "right": 1, "rightmost": 1, "after": 1},
    lines=("left", "rightmost"),
    source="""\
id: parallel
namespace: siege
tasks:
  - id: both
    type: io.kestra.plugin.core.flow.Parallel
    tasks:
      - id: left
        type: io.kestra.plugin.core.log.Log
        message: left
      - id: right
        type: io.kestra.plugin.core.debug.Return
        format: right
      - id: rightmost
        type: io.kestra.plugin.core.log.Log
        message: rightmost
  - id: after
    type: io.kestra.plugin.core.debug.Return
    format: "{{ outputs.right.value }}"
""",
)
SCRIPT: Final = SiegeFlow(
    id="script",
    runs={"shell": 1, "after": 1},
    lines=("the shell has slept",),
    source=f"""\
id: script
namespace: siege
tasks:
  - id: shell
    type: io.kestra.plugin.scripts.shell.Commands
    {_PROCESS}
    commands:
      - sleep 0.3
      - echo the shell has slept
      - echo '::{{"outputs":{{"done":1}}}}::'
  - id: after
    type: io.kestra.plugin.core.debug.Return
    format: "{{{{ outputs.shell.vars.done }}}}"
""",
)
RETRY: Final = SiegeFlow(
    id="retry",
    runs={"flaky": 1},
    source=f"""\
id: retry
namespace: siege
tasks:
  - id: flaky
    type: io.kestra.plugin.scripts.shell.Commands
    {_PROCESS}
    retry:
      type: constant
      interval: PT0.5S
      maxAttempts: 10
    commands:
      - test {{{{ taskrun.attemptsCount }}}} -ge 1
""",
)
PAUSE: Final = SiegeFlow(
    id="pause",
    runs={"wait": 1, "after": 1},
    source="""\
id: pause
namespace: siege
tasks:
  - id: wait
    type: io.kestra.plugin.core.flow.Pause
    delay: PT1S
  - id: after
    type: io.kestra.plugin.core.debug.Return
    format: "1"
""",
)
CALL: Final = SiegeFlow(
    id="call",
    runs={"child": 1, "after": 1},
    children=1,
    source="""\
id: call
namespace: siege
tasks:
  - id: child
    type: io.kestra.plugin.core.flow.Subflow
    namespace: siege
    flowId: steps
    wait: true
    transmitFailed: true
  - id: after
    type: io.kestra.plugin.core.debug.Return
    format: "1"
""",
)
ITERATIONS: Final = SiegeFlow(
    id="iterations",
    runs={"each": 1, "after": 1},
    lines=("got 5 of 5",),
    source="""\
id: iterations
namespace: siege
tasks:
  - id: each
    type: io.kestra.plugin.core.flow.Loop
    values: [a, b, c, d, e]
    concurrencyLimit: 2
    outputs:
      - id: value
        type: STRING
        value: "{{ item.value }}"
    tasks:
      - id: item
        type: io.kestra.plugin.core.debug.Return
        format: "{{ item.value }}"
  - id: after
    type: io.kestra.plugin.core.log.Log
    message: "got {{ outputs.each.outputs | length }} of {{ outputs.each.terminatedIterations }}"
""",
)
BATCHES: Final = SiegeFlow(
    id="batches",
    runs={"make": 1, "each": 1, "each_split": 1, "each_items": 1, "each_merge": 1},
    children=4,
    source=f"""\
id: batches
namespace: siege
tasks:
  - id: make
    type: io.kestra.plugin.scripts.shell.Commands
    {_PROCESS}
    outputFiles: [rows.txt]
    commands:
      - seq 1 8 > rows.txt
  - id: each
    type: io.kestra.plugin.core.flow.ForEachItem
    items: "{{{{ outputs.make.outputFiles['rows.txt'] }}}}"
    batch:
      rows: 2
    namespace: siege
    flowId: steps
""",
)
FILES: Final = SiegeFlow(
    id="files",
    runs={"make": 1, "take": 1},
    lines=("the file came back",),
    source=f"""\
id: files
namespace: siege
tasks:
  - id: make
    type: io.kestra.plugin.scripts.shell.Commands
    {_PROCESS}
    outputFiles: [large.bin]
    commands:
      - head -c {FILE_SIZE} /dev/urandom > large.bin
      - echo "::{{\\"outputs\\":{{\\"sum\\":\\"$(cksum < large.bin)\\"}}}}::"
  - id: take
    type: io.kestra.plugin.scripts.shell.Commands
    {_PROCESS}
    inputFiles:
      back.bin: "{{{{ outputs.make.outputFiles['large.bin'] }}}}"
    commands:
      - test "$(cksum < back.bin)" = "{{{{ outputs.make.vars.sum }}}}"
      - echo the file came back
""",
)
FLOWS: Final = (STEPS, PARALLEL, LOOP, SCRIPT, RETRY, PAUSE, CALL, ITERATIONS, BATCHES, FILES)

CLOCK_PERIOD_S: Final = 2
"""Seconds between two dates of the schedule: many dates fall into each outage."""


def clock(*, disabled: bool) -> str:
    """Return a flow that a schedule starts every two seconds, in a namespace of its own."""
    return f"""\
id: clock
namespace: clockwork
tasks:
  - id: tick
    type: io.kestra.plugin.core.debug.Return
    format: "{{{{ trigger.date }}}}"
triggers:
  - id: schedule
    type: io.kestra.plugin.core.trigger.Schedule
    cron: "*/{CLOCK_PERIOD_S} * * * * *"
    withSeconds: true
    recoverMissedSchedules: ALL
    disabled: {"true" if disabled else "false"}
"""
