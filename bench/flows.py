"""The flows that benchmarks run."""

from __future__ import annotations

from typing import Final

ONE_TASK: Final = """\
id: one-task
namespace: bench
inputs:
  - id: name
    type: STRING
tasks:
  - id: hello
    type: io.kestra.plugin.core.log.Log
    message: "Hello {{ inputs.name }}"
"""

TWO_TASKS: Final = """\
id: two-tasks
namespace: bench
tasks:
  - id: first
    type: io.kestra.plugin.core.debug.Return
    format: "one"
  - id: second
    type: io.kestra.plugin.core.debug.Return
    format: "{{ outputs.first.value }} two"
"""

LOG_LINES: Final = """\
id: log-lines
namespace: bench
tasks:
  - id: lines
    type: io.kestra.plugin.scripts.shell.Commands
    taskRunner:
      type: io.kestra.plugin.core.runner.Process
    commands:
      - seq 1 10000
"""

LARGE_FILE: Final = """\
id: large-file
namespace: bench
inputs:
  - id: megabytes
    type: INT
  - id: rest
    type: INT
tasks:
  - id: make
    type: io.kestra.plugin.scripts.shell.Commands
    taskRunner:
      type: io.kestra.plugin.core.runner.Process
    outputFiles: [large.bin]
    commands:
      - head -c {{ inputs.megabytes }}M /dev/urandom > large.bin
      - sync -f .
      - echo "::{\\"outputs\\":{\\"at\\":\\"$(date +%s.%N)\\"}}::"
  - id: rest
    type: io.kestra.plugin.scripts.shell.Commands
    taskRunner:
      type: io.kestra.plugin.core.runner.Process
    commands:
      - sleep {{ inputs.rest }}
      - sync -f .
  - id: take
    type: io.kestra.plugin.scripts.shell.Commands
    taskRunner:
      type: io.kestra.plugin.core.runner.Process
    inputFiles:
      back.bin: "{{ outputs.make.outputFiles['large.bin'] }}"
    commands:
      - echo "::{\\"outputs\\":{\\"at\\":\\"$(date +%s.%N)\\",\\"bytes\\":$(stat -c %s back.bin)}}::"
"""


def chain(length: int) -> str:
    """Return a flow of so many tasks, one after the other."""
    tasks = "".join(
        f'  - id: step{number}\n    type: io.kestra.plugin.core.debug.Return\n    format: "{number}"\n'
        for number in range(length)
    )
    return f"id: chain-{length}\nnamespace: bench\ntasks:\n{tasks}"


def scripts(length: int) -> str:
    """Return a flow of so many shell steps, one after the other."""
    tasks = "".join(
        f"  - id: step{number}\n    type: io.kestra.plugin.scripts.shell.Commands\n"
        "    taskRunner:\n      type: io.kestra.plugin.core.runner.Process\n    commands:\n      - echo done\n"
        for number in range(length)
    )
    return f"id: scripts-{length}\nnamespace: bench\ntasks:\n{tasks}"


def loop(count: int, limit: int, namespace: str = "bench") -> str:
    """Return a flow that runs one task for each of so many values, at most `limit` at a time (0: all)."""
    return f"""\
id: loop-{count}-{limit}
namespace: {namespace}
tasks:
  - id: each
    type: io.kestra.plugin.core.flow.ForEach
    values: "{{{{ range(1, {count}) }}}}"
    concurrencyLimit: {limit}
    tasks:
      - id: item
        type: io.kestra.plugin.core.debug.Return
        format: "{{{{ taskrun.value }}}}"
"""


def iterations(count: int, limit: int, namespace: str = "bench") -> str:
    """Return a flow with a Loop over so many values, each an execution with one task and one output."""
    return f"""\
id: iterations-{count}-{limit}
namespace: {namespace}
tasks:
  - id: each
    type: io.kestra.plugin.core.flow.Loop
    values: "{{{{ range(1, {count}) }}}}"
    concurrencyLimit: {limit}
    outputs:
      - id: item
        type: STRING
        value: "{{{{ outputs.item.value }}}}"
    tasks:
      - id: item
        type: io.kestra.plugin.core.debug.Return
        format: "{{{{ item.value }}}}"
"""


def part(namespace: str = "bench") -> str:
    """Return the flow `part`, which takes a file of rows."""
    return f"""\
id: part
namespace: {namespace}
inputs:
  - id: rows
    type: STRING
tasks:
  - id: take
    type: io.kestra.plugin.core.debug.Return
    format: "{{{{ inputs.rows }}}}"
"""


PAD: Final = "0" * 78
"""Makes a row a hundred bytes long, with its line's end."""


def batches(rows: int) -> str:
    """Return a flow that makes a file of so many rows of 100 bytes, and runs a flow for each ten thousand of them."""
    return f"""\
id: batches-{rows}
namespace: bench
tasks:
  - id: make
    type: io.kestra.plugin.scripts.shell.Commands
    taskRunner:
      type: io.kestra.plugin.core.runner.Process
    outputFiles:
      - rows.jsonl
    commands:
      - seq -f '{{"n":%08.0f,"p":"{PAD}"}}' 1 {rows} > rows.jsonl
  - id: each
    type: io.kestra.plugin.core.flow.ForEachItem
    items: "{{{{ outputs.make.outputFiles['rows.jsonl'] }}}}"
    batch:
      rows: 10000
    namespace: bench
    flowId: part
    inputs:
      rows: "{{{{ taskrun.items }}}}"
"""


def sleeps(count: int, limit: int = 0, duration: str = "PT1S", namespace: str = "bench") -> str:
    """Return the flow `sleeps`: a loop whose children only take time."""
    return f"""\
id: sleeps
namespace: {namespace}
tasks:
  - id: loop
    type: io.kestra.plugin.core.flow.ForEach
    values: "{{{{ range(1, {count}) }}}}"
    concurrencyLimit: {limit}
    tasks:
      - id: wait
        type: io.kestra.plugin.core.flow.Sleep
        duration: {duration}
"""
