"""What may happen to an MLflow store, whoever uses it: it is away, it is moved, it is new.

answers says whether anybody does at its address, outage waits while a server or a database does
not, relocation follows the files of a store that lies elsewhere by now, creation lets one process
make a new one. tracking writes and reads the runs in it.
"""
