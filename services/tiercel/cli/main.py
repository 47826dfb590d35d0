"""The entry point: reads arguments and hands over to the module of the command, which imports what it needs."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from typing import Final, Protocol, cast

SERVICES: Final = ("executor", "worker", "scheduler", "indexer", "webserver")


class Command(Protocol):
    """A module of a command."""

    def execute(self, arguments: argparse.Namespace) -> int:
        """Do what was asked; return the exit code."""
        ...


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    arguments = parser().parse_args(argv)
    from tiercel.errors import TiercelError  # noqa: PLC0415 `tiercel --help` imports nothing but argparse

    command = cast("Command", importlib.import_module(f"tiercel.cli.{arguments.command_module}"))
    try:
        code = command.execute(arguments)
        sys.stdout.flush()
        return code
    except TiercelError as error:
        print(f"tiercel: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # who read what we print has seen enough; Python must not find that out again at its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141


def parser() -> argparse.ArgumentParser:
    """Describe all commands."""
    top = argparse.ArgumentParser(prog="tiercel", description="A workflow orchestrator that runs Kestra's YAML.")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_server(commands)
    _add_run(commands)
    _add_flow(commands)

    migrate = commands.add_parser("migrate", help="make or update the tables of the databases")
    _add_settings(migrate)
    migrate.set_defaults(command_module="migrate")
    _add_migrate_check(migrate)

    health = commands.add_parser("health", help="ask the process on this machine how it is")
    _add_settings(health)
    _add_ports(health)
    health.set_defaults(command_module="health")

    version = commands.add_parser("version", help="show versions")
    version.set_defaults(command_module="version")
    return top


Commands = argparse._SubParsersAction  # the type has no public name


def _add_server(commands: Commands[argparse.ArgumentParser]) -> None:
    server = commands.add_parser("server", help="start all processes, or one of them")
    kinds = server.add_subparsers(dest="service", required=True, metavar="PROCESS")
    standalone = kinds.add_parser("standalone", help="one of each as child processes, with a PostgreSQL of their own")
    _add_settings(standalone)
    _add_ports(standalone)
    standalone.set_defaults(command_module="server")
    for name in SERVICES:
        service = kinds.add_parser(name, help=f"the {name} alone; start more of it to scale")
        _add_settings(service)
        _add_ports(service)
        service.set_defaults(command_module="server")


def _add_run(commands: Commands[argparse.ArgumentParser]) -> None:
    run = commands.add_parser("run", help="run a flow from a file and show it live")
    run.add_argument("flow", metavar="FLOW.yaml", help="the flow")
    run.add_argument(
        "--input", "-i", action="append", default=[], metavar="KEY=VALUE", help="an input; KEY=@FILE for a file"
    )
    run.add_argument("--label", action="append", default=[], metavar="KEY=VALUE", help="a label of the execution")
    run.add_argument(
        "--with", dest="others", action="append", default=[], metavar="FLOW.yaml", help="a flow that it calls"
    )
    run.add_argument("--server", metavar="URL", help="run it on this server instead of one of its own")
    run.add_argument("--user", metavar="NAME:PASSWORD", help="who to be on that server")
    run.add_argument("--no-logs", action="store_true", help="show no log lines")
    _add_settings(run)
    run.set_defaults(command_module="run")


def _add_flow(commands: Commands[argparse.ArgumentParser]) -> None:
    flow = commands.add_parser("flow", help="work with flow files")
    actions = flow.add_subparsers(dest="action", required=True, metavar="ACTION")
    validate = actions.add_parser("validate", help="report everything that is wrong with flow files")
    validate.add_argument("files", nargs="+", metavar="FLOW.yaml")
    validate.set_defaults(command_module="flow")
    test = actions.add_parser("test", help="run suites of tests against flows, without a server")
    test.add_argument("paths", nargs="+", metavar="PATH", help="files and folders of suites and flows")
    test.add_argument("--case", action="append", default=[], metavar="ID", help="run this case only; may be repeated")
    test.add_argument(
        "--namespace-files", action="append", default=[], metavar="NAMESPACE=FOLDER", help="files of a namespace"
    )
    test.add_argument("--timeout", type=float, default=60.0, metavar="SECONDS", help="of one case (default: 60)")
    test.add_argument("--junit", metavar="FILE", help="write the results as JUnit XML")
    _add_settings(test)
    test.set_defaults(command_module="flowtest")
    schema = actions.add_parser("schema", help="print the JSON schema that editors check flows with")
    schema.add_argument(
        "of", nargs="?", default="flow", metavar="KIND", help="flow (default), task, trigger, …, or the name of a type"
    )
    schema.set_defaults(command_module="schema")


def _add_migrate_check(migrate: argparse.ArgumentParser) -> None:
    actions = migrate.add_subparsers(dest="action", metavar="ACTION")
    check = actions.add_parser("check", help="report what becomes of flows that were written for Kestra")
    check.add_argument("paths", nargs="+", metavar="PATH", help="files and folders of flows")
    check.add_argument("--format", choices=("text", "json"), default="text")
    check.set_defaults(command_module="migratecheck")


def _add_settings(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", "-c", metavar="FILE", help="the settings file (YAML)")
    parser.add_argument("--postgres", metavar="URL", help="the PostgreSQL server of queue and state")
    parser.add_argument("--data", metavar="FOLDER", help="where the embedded server and files live (default: .tiercel)")


def _add_ports(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--host", help="the address that the API listens on")
    parser.add_argument("--port", type=int, help="the API's port (default: 8080)")
    parser.add_argument("--management-port", type=int, help="/health and /metrics (default: 8081; 0 for none)")


if __name__ == "__main__":
    sys.exit(main())
