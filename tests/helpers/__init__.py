"""Helpers of several tests: small networks, photos, stored features, trainings."""
