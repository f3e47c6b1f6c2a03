"""The command line as a search space: lists, ranges, intervals, conditions, known points."""
