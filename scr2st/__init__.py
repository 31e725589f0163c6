"""The face: the command line ``scr2st``."""
