"""Counts what rules name in log lines (Graphite points on stdout) and ships the lines to Loki."""
