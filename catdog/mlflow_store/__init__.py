"""What may happen to an MLflow store, whoever uses it: it is away, or it is moved.

outage waits while a server or a database does not answer, relocation follows the files of a store
that lies elsewhere by now. tracking writes and reads the runs in it.
"""
