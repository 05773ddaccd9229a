"""The checkpoint that ships, this folder: see README.md beside it for its data, sources, licence and figures."""

from pathlib import Path

STARTER = Path(__file__).parent
