"""All trials of a study at once: their learning curves, mean and spread of repeats, one page."""
