"""The database that workers share: the study, its slots and leases, and retry when it is away."""
