"""The programs that the engine is measured beside."""
