"""The command `soc`, also `python -m soc`."""

import atexit
import os
import sys


def command() -> None:
    """The process `soc`. It ends without the interpreter's taking itself apart, which takes longer than a short run:
    the host frees the memory of a process at once."""
    _open_missing_streams()
    try:
        # All that takes time is loaded here, so that an interrupt meanwhile ends like one later.
        import logging

        from soc.commands.line import main

        logging.basicConfig(format="soc: %(message)s")
        status = main()
    except KeyboardInterrupt:
        from soc.commands.output import interrupted

        status = interrupted()
    atexit._run_exitfuncs()
    try:
        sys.stdout.flush()
    except OSError:
        pass
    os._exit(status)


def _open_missing_streams() -> None:
    """A standard stream that the process was started without leads nowhere."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))


if __name__ == "__main__":
    command()
