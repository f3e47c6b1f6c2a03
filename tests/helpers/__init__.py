"""What several tests are made of: small networks, photos, stored features, trainings."""
