"""A saved model and new photos: load it safely, predict, explain, write answers."""
