"""Where lines come from. Each source reads on from a cursor and hands whole lines to a sink."""
