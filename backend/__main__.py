"""`python -m backend`: serve captions to Label Studio, and look after the connection."""

from model.lazy import command_line

COMMANDS = ("serve", "config", "connect", "doctor", "prelabel", "run")

app = command_line("backend", COMMANDS, __doc__)

if __name__ == "__main__":
    app(prog_name="python -m backend")
