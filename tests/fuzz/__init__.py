"""Fuzzing: any bytes as logs, as state, as rules, as configuration, as journalctl's output.

`targets` says what must hold, `inputs` what is fed, `__main__` (make fuzz) runs them under atheris for half an hour.
"""
