"""Requests to end: Ctrl-C and SIGTERM stop a command once, with one line, whatever code they meet."""

import collections
import signal
import sys
import threading
from types import FrameType
from typing import Any

EXIT_CODE = 130
SAID = "interrupted; run the same command again to continue"
_ASK_AGAIN_S = 0.02
_REQUESTS = (signal.SIGINT, signal.SIGTERM)


class Interrupts:
    """What the process does when it is asked to end, from `begin` to `no_more`."""

    def __init__(self) -> None:
        self.asked = False
        """Whether anyone has; what a library then raises is what it made of that."""
        self._began = False

    def begin(self) -> None:
        """A request to end is taken as Ctrl-C is: what is written stays whole, and the same command goes on later.

        Who is deaf to Ctrl-C, as a shell makes what it runs in the background, stays so. Threads other than the first take no signals.
        """
        self.asked = False
        if threading.current_thread() is not threading.main_thread():
            return
        self._began = True
        signal.signal(signal.SIGTERM, self._interrupt)
        if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
            signal.signal(signal.SIGINT, self._interrupt)
        signal.signal(signal.SIGALRM, self._interrupt)
        sys.unraisablehook = self._ask_again

    def no_more(self, instead: signal.Handlers) -> None:
        """While the interpreter ends, an exception out of a signal would be printed as a traceback of nobody's."""
        if not self._began:
            return
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number in (*_REQUESTS, signal.SIGALRM):
            signal.signal(number, instead)
        # Python notes an interrupt that passed through text it was executing (the classes of an import, say) and would end this
        # process as killed by SIGINT; it forgets that as it next executes text, as it does to make a named tuple.
        collections.namedtuple("Nothing", ())

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        if number != signal.SIGALRM:
            self.asked = True
        raise KeyboardInterrupt

    def _ask_again(self, unraisable: Any) -> None:
        """An interrupt that came while an object was taken away is lost to whoever runs: it comes again a little later."""
        if unraisable.exc_type is KeyboardInterrupt and self.asked:
            signal.setitimer(signal.ITIMER_REAL, _ASK_AGAIN_S)
        else:
            sys.__unraisablehook__(unraisable)


INTERRUPTS = Interrupts()
