"""Trained networks: kept, loaded, used, exported, looked into."""
