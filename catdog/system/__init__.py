"""This machine and its services, for doctor, ui and cache."""
