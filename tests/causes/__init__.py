"""Run on a host of the fleet `programs`, as root: real programs are made to do what the rule packs count.

Each module causes the events of a kind of programs and says what each event must count. The numbers come from what was
done, or from what the program itself answers (its own counters, its exit code), never from its log.
Standard library only, Python 3.9 (Debian 11): it is copied to the host.
"""
