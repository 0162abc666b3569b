"""The command `spps`, under the name that it had before."""
from spps.cli import main

__all__ = ["main"]

if __name__ == "__main__":
    main()
