"""`python -m spps`: the command `spps`."""
from .cli import main

main(prog_name="spps")
