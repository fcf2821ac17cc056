"""Moments as text."""

import time


def clock(seconds: float) -> str:
    """A Unix time as text in this machine's time zone; with the day if that is not today."""
    then, today = time.localtime(seconds), time.localtime()
    same_day = (then.tm_year, then.tm_yday) == (today.tm_year, today.tm_yday)
    return time.strftime("%H:%M:%S" if same_day else "%Y-%m-%d %H:%M", then)
