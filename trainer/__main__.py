"""`python -m trainer`: learn from corrections, and look after what was learnt."""

from model.lazy import command_line

COMMANDS = ("work", "train", "history", "promote", "rollback", "prune")

app = command_line("trainer", COMMANDS, __doc__)

if __name__ == "__main__":
    app(prog_name="python -m trainer")
