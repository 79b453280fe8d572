"""Lets `python -m closefit` be the program `closefit`."""

from closefit.cli.main import main

if __name__ == "__main__":
    main()
