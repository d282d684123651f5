"""The subcommands of `soc`, one file each: `add(subparsers)` declares it, its handler returns the exit status."""

COMMANDS = ("run", "boot", "fetch", "scenario", "trace", "device", "bench", "doctor")
