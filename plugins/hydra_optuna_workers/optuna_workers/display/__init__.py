"""The live table, and lines where there is no terminal."""
