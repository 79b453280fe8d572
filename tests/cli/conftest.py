"""Commands called as a user calls them, in this process."""

import pytest
from typer.testing import CliRunner

from closefit.cli.app import app


@pytest.fixture
def invoke():
    """Call `closefit ARGUMENTS...`; the result has `exit_code`, `stdout` and `stderr`."""

    def call(*arguments: object):
        result = CliRunner().invoke(app, [str(argument) for argument in arguments])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception  # a bug, not an error message
        return result

    return call
