"""`soc device`: device servers, for devices that run in other processes or on other hosts."""

import argparse
import signal
import socket

from soc.commands.output import FAILED, OK, say
from soc.errors import ConfigurationError


def add(commands: argparse._SubParsersAction) -> None:
    """Declares the command."""
    parser = commands.add_parser("device", help="serve devices to machines in other processes")
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    serving = actions.add_parser("serve", help="serve devices, each connection in a process of its own")
    way = serving.add_mutually_exclusive_group(required=True)
    way.add_argument("--listen", metavar="HOST:PORT", help="serve whoever connects and knows SOC_DEVICE_TOKEN")
    way.add_argument("--fd", type=int, help="serve one device over this open socket, for the process that opened it")
    serving.add_argument(
        "--allow", action="append", default=[], metavar="MODULE:CLASS", help="a model besides those of this package"
    )
    serving.set_defaults(command=serve)
    checking = actions.add_parser("check", help="see whether a device server keeps the rules of docs/wire.md")
    checking.add_argument("server", metavar="HOST:PORT", help="where it listens; SOC_DEVICE_TOKEN has its token")
    checking.add_argument("model", metavar="MODULE:CLASS", help="the class that declares its ports and registers")
    checking.add_argument("--same", action="store_true", help="it must also behave as that class does")
    checking.add_argument("--seed", type=int, default=1, help="of the random traffic (default 1)")
    checking.set_defaults(command=check)


def check(arguments: argparse.Namespace) -> int:
    """Prints one line per check; status 1 when one of them failed."""
    from soc.placement.check import PATIENCE_S, Check
    from soc.placement.places import address
    from soc.placement.socket import connect

    server = address(arguments.server)
    checks = Check(*server, arguments.model, arguments.same, arguments.seed)
    connect(*server, PATIENCE_S).stream.close()  # a server that is not there has failed no check
    failed = 0
    for name, problem in checks.run():
        failed += bool(problem)
        print(f"{'FAILED' if problem else 'ok':8}{name}{f': {problem}' if problem else ''}", flush=True)
    return FAILED if failed else OK


def serve(arguments: argparse.Namespace) -> int:
    """Serves until the connection closes, or with --listen until interrupted."""
    from soc.placement import serve as side

    if arguments.fd is not None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            connected = socket.socket(fileno=arguments.fd)
        except OSError as error:
            raise ConfigurationError(f"--fd {arguments.fd} is no open socket: {error.strerror}") from error
        side.serve(side.Stream(connected), lambda model: True)
        return OK
    from soc.placement.places import address
    from soc.placement.socket import TOKEN, Server, new_token, token

    host, port = address(arguments.listen)
    secret = token()
    if not secret:
        secret = new_token().encode()
        say(f"soc: clients need {TOKEN}={secret.decode()}")
    with Server(host, port, side.allow(arguments.allow), secret) as server:
        say(f"soc: serving devices at {host}:{server.port}")
        server.serve_forever()
    return OK
