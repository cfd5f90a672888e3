# SPDX-License-Identifier: GPL-2.0-or-later
"""Waiting for what must come, with a deadline."""

import time

DEADLINE = 10.0
PAUSE = 0.005


class Final(AssertionError):
    """One that waiting cannot mend."""


class DeadlinePassed(Final):
    pass


def wait_until(condition, what="the condition", deadline=DEADLINE):
    """Returns the first true value of condition(), asked again and again until the deadline.

    An AssertionError in it counts as "not yet" and is told when the time is up.
    """
    end = time.monotonic() + deadline
    said = None
    while True:
        try:
            value = condition()
            if value:
                return value
            said = repr(value)
        except Final:
            raise
        except AssertionError as e:
            said = str(e) or repr(e)
        if time.monotonic() >= end:
            raise DeadlinePassed(f"{what} did not come true within {deadline} s; at last: {said}")
        time.sleep(PAUSE)
