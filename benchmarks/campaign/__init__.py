"""Bad, odd and hostile input through the real command line: `python -m benchmarks.campaign`.

`corpus.py` makes valid input of every format, `mutators.py` spoils it, `cases.py` puts both into
commands, `forkserver.py` runs each in an isolated process, `verdicts.py` judges what came of it.
`kills.py` ends and starves real runs at every point where they write. `parsers.py` drives the pure
parsers with atheris.
"""
