"""Ctrl-C, SIGTERM and SIGHUP: the first one ends a command in order, the second one at once.

The exit code is 128 plus the number of the signal, as shells have it: 130, 143, 129.
"""

import os
import signal

from closefit.system import ENDING_SIGNALS

TYPE_CHECKING = False  # `typing` takes longer to import than all else here
if TYPE_CHECKING:
    from types import FrameType, TracebackType
    from typing import Any

SHOW_CURSOR = b"\x1b[?25h"


class Interrupted(KeyboardInterrupt):
    """A signal ends the command."""

    def __init__(self, number: int) -> None:
        """Keep the exit code."""
        super().__init__(signal.Signals(number).name)
        self.exit_code = 128 + number


class _State:
    """What has happened in this process so far."""

    in_order = False
    received = 0


def install() -> None:
    """Take over the signals of this process: outside `InOrder`, each ends it at once."""
    for number in ENDING_SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup, or in the background
            signal.signal(number, _received)


def _received(number: int, _: "FrameType | None") -> None:
    if _State.received or not _State.in_order:
        _leave(number)
    _State.received = number
    raise Interrupted(number)


def _leave(number: int) -> None:
    """End the process here and now."""
    os.write(2, (SHOW_CURSOR if os.isatty(2) else b"") + b"stopped\n")
    os._exit(128 + number)


class InOrder:
    """A block that a first signal leaves as `Interrupted`; a second signal ends the process.

    Whatever error the signal leads to, such as a failed import, becomes `Interrupted` too.
    """

    def __enter__(self) -> None:
        """Begin the block."""
        self._before, _State.in_order = _State.in_order, True

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        _: "TracebackType | None",
    ) -> None:
        """End the block."""
        _State.in_order = self._before
        if _State.received and isinstance(error, Exception):
            raise Interrupted(_State.received) from error


class Held:
    """A block that a first signal cannot leave: it takes effect at the end of the block.

    `came` shows whether there was one; a second one ends the process. In other threads than the
    main one, which get no signals, the block does nothing.
    """

    def __enter__(self) -> "Held":
        """Begin the block."""
        self._number = 0
        self._handlers: dict[int, Any] = {}
        try:
            for number in ENDING_SIGNALS:
                handler = signal.getsignal(number)
                if handler not in (signal.SIG_IGN, None):
                    signal.signal(number, self._hold)
                    self._handlers[number] = handler
        except ValueError:  # not the main thread
            pass
        return self

    def __exit__(self, *_: object) -> None:
        """Pass on the signal that was held."""
        self.take_effect()

    def take_effect(self) -> None:
        """Pass on the signal that was held, if one was; end the holding."""
        while self._handlers:
            signal.signal(*self._handlers.popitem())
        number, self._number = self._number, 0
        if number:
            signal.raise_signal(number)

    @property
    def came(self) -> bool:
        """Whether a signal is held."""
        return self._number != 0

    def _hold(self, number: int, _: "FrameType | None") -> None:
        if self._number:
            _leave(number)
        self._number = number
        os.write(2, b"stopping after this step; once more stops at once\n")
