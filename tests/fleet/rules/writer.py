"""A program that logs: `event NN` some times a second, until it is stopped. Tag `proof`, facility user."""

import itertools
import syslog
import time

syslog.openlog("proof", 0, syslog.LOG_USER)
for number in itertools.count():
    syslog.syslog(syslog.LOG_INFO, f"event {number * 7 % 100:02} of run {number}")
    time.sleep(0.2)
